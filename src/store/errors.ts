/** What can go wrong in the store; one class a cause. */
import { EXIT, WeftError } from '../errors.ts'
import type { ErrorInfo } from '../errors.ts'

export class BlobMissingError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-STO-001',
    title: 'Blob missing',
    meaning: 'A tensor or tokenizer was asked for that is not in this store.',
    remedy: 'Fetch the model again: weft import, or let the peer fetch it from one that holds it.',
    exit: EXIT.notFound,
    http: 404,
  }
  constructor(address: string) {
    super(BlobMissingError.info, `blob ${address} is not in the store`, { details: { address } })
  }
}

export class BlobRangeError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-STO-002',
    title: 'Range outside a blob',
    meaning: 'More bytes were asked for than the blob has.',
    remedy: 'Ask for a range within the size of the blob.',
    exit: EXIT.usage,
    http: 416,
  }
  constructor(address: string, offset: number, length: number, size: number) {
    super(BlobRangeError.info, `bytes ${offset} to ${offset + length} are outside blob ${address} of ${size} bytes`, {
      details: { address, offset, length, size },
    })
  }
}

export class ChunkMismatchError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-STO-003',
    title: 'Chunk does not have its hash',
    meaning: 'Bytes that arrived are not the bytes that were announced; they were not kept.',
    remedy: 'Fetch the chunk from another peer or source; the one that sent it is broken or lies.',
    exit: EXIT.integrity,
    http: 502,
    retryable: true,
  }
  constructor(address: string, index: number, why: string) {
    super(ChunkMismatchError.info, `chunk ${index} of blob ${address} is not what was announced`, {
      why,
      details: { address, index },
    })
  }
}

export class AddressMismatchError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-STO-004',
    title: 'Hashes do not make the address',
    meaning: 'The chunk hashes or the size that were announced for a blob do not belong to its address.',
    remedy: 'Ask another peer or source; the one that announced them is broken or lies.',
    exit: EXIT.integrity,
    http: 502,
    retryable: true,
  }
  constructor(address: string, why: string) {
    super(AddressMismatchError.info, `what was announced for blob ${address} does not belong to it`, {
      why,
      details: { address },
    })
  }
}

export class InvalidAddressError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-STO-005',
    title: 'Not a blob address',
    meaning: 'An address is not a CIDv1 with raw codec and SHA-256 in base32.',
    remedy: 'Take addresses from a manifest.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(address: string) {
    const shown = JSON.stringify(address.slice(0, 80))
    super(InvalidAddressError.info, `${shown} is not a blob address`, { details: { address: address.slice(0, 80) } })
  }
}

export class BlobIncompleteError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-STO-006',
    title: 'Blob incomplete',
    meaning: 'A transfer was finished before all chunks had arrived.',
    remedy: 'Fetch the missing chunks; the transfer goes on where it stopped.',
    exit: EXIT.partial,
    http: 502,
    retryable: true,
  }
  constructor(address: string, missing: number, total: number) {
    super(BlobIncompleteError.info, `blob ${address} lacks ${missing} of ${total} chunks`, {
      details: { address, missing, total },
    })
  }
}

/** What was being written beside it may have been taken back before it is asked. */
const FEW_FILES = 8

export class DiskFullError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-STO-007',
    title: 'Disk full',
    meaning:
      'There is not enough room on the disk. Nothing half-written was left but downloads, which go on where they stopped.',
    remedy: 'Free space, remove a model with weft rm, or set WEFT_HOME to a larger disk.',
    exit: EXIT.noResources,
    http: 507,
  }
  /**
   * @param needed 0: nobody knows
   * @param files that the file system can still take, where it has a limit of them
   */
  constructor(path: string, needed: number, free: number, cause?: unknown, files?: number) {
    const lacksFiles = files !== undefined && files <= FEW_FILES && needed < free
    const what = lacksFiles
      ? `no room for another file at ${path}, whose file system can hold no more of them, though ${free} bytes are free`
      : `no room for ${needed === 0 ? 'more' : `${needed} bytes`} at ${path}: ${free} bytes are free`
    super(DiskFullError.info, what, {
      details: { path, needed, free, ...(lacksFiles ? { files } : {}) },
      ...(cause === undefined ? {} : { cause }),
    })
  }
}

export class StoreUnwritableError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-STO-008',
    title: 'Store not writable',
    meaning: 'The folder of the store cannot be read or written.',
    remedy: 'Check the owner and rights of the folder, or set WEFT_HOME to another one.',
    exit: EXIT.denied,
    http: 500,
  }
  constructor(path: string, cause: unknown) {
    super(StoreUnwritableError.info, `cannot use ${path}`, {
      why: cause instanceof Error ? cause.message : String(cause),
      details: { path },
      cause,
    })
  }
}

export class BlobDamagedError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-STO-009',
    title: 'Blob damaged',
    meaning: 'The bytes of a blob on the disk are not those of its address any more: the disk or its memory fails.',
    remedy:
      'Remove the model and import it again (weft rm, weft import), or let a peer that has it join; check the disk.',
    exit: EXIT.integrity,
    http: 500,
    retryable: true,
  }
  constructor(address: string, why?: string) {
    super(BlobDamagedError.info, `blob ${address} on the disk has changed`, {
      details: { address },
      ...(why === undefined ? {} : { why }),
    })
  }
}

export const STORE_ERRORS: readonly ErrorInfo[] = [
  BlobMissingError.info,
  BlobRangeError.info,
  ChunkMismatchError.info,
  AddressMismatchError.info,
  InvalidAddressError.info,
  BlobIncompleteError.info,
  DiskFullError.info,
  StoreUnwritableError.info,
  BlobDamagedError.info,
]
