from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GenerateRequest(_message.Message):
    __slots__ = ("tag", "count")
    TAG_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    tag: str
    count: int
    def __init__(self, tag: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class Block(_message.Message):
    __slots__ = ("first", "more")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    first: int
    more: int
    def __init__(self, first: _Optional[int] = ..., more: _Optional[int] = ...) -> None: ...

class GenerateResponse(_message.Message):
    __slots__ = ("blocks", "uuids", "algorithm")
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    UUIDS_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    blocks: _containers.RepeatedCompositeFieldContainer[Block]
    uuids: bytes
    algorithm: str
    def __init__(self, blocks: _Optional[_Iterable[_Union[Block, _Mapping]]] = ..., uuids: _Optional[bytes] = ..., algorithm: _Optional[str] = ...) -> None: ...

class GenerateReply(_message.Message):
    __slots__ = ("ids", "problem")
    IDS_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    ids: GenerateResponse
    problem: Problem
    def __init__(self, ids: _Optional[_Union[GenerateResponse, _Mapping]] = ..., problem: _Optional[_Union[Problem, _Mapping]] = ...) -> None: ...

class Problem(_message.Message):
    __slots__ = ("slug", "detail", "code", "retry_after_ms")
    SLUG_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    slug: str
    detail: str
    code: int
    retry_after_ms: int
    def __init__(self, slug: _Optional[str] = ..., detail: _Optional[str] = ..., code: _Optional[int] = ..., retry_after_ms: _Optional[int] = ...) -> None: ...

class LeaseRequest(_message.Message):
    __slots__ = ("tag", "count")
    TAG_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    tag: str
    count: int
    def __init__(self, tag: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class LeaseResponse(_message.Message):
    __slots__ = ("blocks", "algorithm")
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    blocks: _containers.RepeatedCompositeFieldContainer[Block]
    algorithm: str
    def __init__(self, blocks: _Optional[_Iterable[_Union[Block, _Mapping]]] = ..., algorithm: _Optional[str] = ...) -> None: ...

class DecodeRequest(_message.Message):
    __slots__ = ("id", "tag")
    ID_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    id: str
    tag: str
    def __init__(self, id: _Optional[str] = ..., tag: _Optional[str] = ...) -> None: ...

class DecodeResponse(_message.Message):
    __slots__ = ("id", "kind", "algorithm", "unix_ms", "datacenter", "worker", "sequence", "time", "sequence_bits", "version")
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    DATACENTER_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_BITS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    id: str
    kind: str
    algorithm: str
    unix_ms: int
    datacenter: int
    worker: int
    sequence: int
    time: str
    sequence_bits: int
    version: int
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[str] = ..., algorithm: _Optional[str] = ..., unix_ms: _Optional[int] = ..., datacenter: _Optional[int] = ..., worker: _Optional[int] = ..., sequence: _Optional[int] = ..., time: _Optional[str] = ..., sequence_bits: _Optional[int] = ..., version: _Optional[int] = ...) -> None: ...
