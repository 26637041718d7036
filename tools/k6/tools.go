//go:build tools

// Package tools pins the command that this module builds.
package tools

import _ "go.k6.io/k6"
