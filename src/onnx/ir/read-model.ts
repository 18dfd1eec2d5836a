/**
 * Reads `.onnx` files (onnx.proto of ONNX 1.21). Weights stay where they lie. Not kept: documentation, denotations,
 * `training_info`, hints for devices, and fields that are not known.
 */
import { constants, realpathSync } from 'node:fs'
import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import {
  DuplicateDefinitionError,
  NotOnnxError,
  OnnxMalformedError,
  OnnxUnreadableError,
  OnnxUnsupportedError,
} from './errors.ts'
import { externalFiles, noExternalFiles } from './external-data.ts'
import { MOST_FILE_BYTES, READ_LIMITS } from './limits.ts'
import type { ReadLimits } from './limits.ts'
import { looksLike, looksLikeText } from './looks-like.ts'
import { addValue, readAttribute, readDomain, readGraph, readNode } from './read-graph.ts'
import { readValueInfo } from './read-type.ts'
import { OBJECT_BYTES, readEntry, readText } from './reading.ts'
import type { Reading } from './reading.ts'
import type { Attribute, Graph, Model, Node, OnnxFunction, ValueInfo } from './types.ts'
import { WireReader } from './wire-reader.ts'

const HEAD_BYTES = 512
const NEWEST_IR = 13
const NEWEST_OPSET = 26
/** Files of before IR version 3 import nothing; they mean the first operator set. */
const FIRST_IR_WITH_OPSETS = 3

/**
 * Reads what the file says and checks that the file can say it; whether the graph makes sense is for `checkModel`.
 * The thread is held while it parses (2,000 nodes: some 60 ms, cold).
 * @throws OnnxUnreadableError, NotOnnxError, OnnxMalformedError, OnnxLimitError, OnnxUnsupportedError,
 * ExternalDataOutsideError, ExternalDataError, TensorSizeError, DuplicateDefinitionError
 */
export async function readModel(path: string, limits: Partial<ReadLimits> = {}): Promise<Model> {
  // Non-blocking: opening a named pipe would otherwise wait for a writer, for ever.
  const handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)).catch((cause: unknown) => {
    throw new OnnxUnreadableError(path, cause instanceof Error ? cause.message : String(cause), cause)
  })
  try {
    return await readOpened(path, handle, { ...READ_LIMITS, ...limits })
  } finally {
    await handle.close()
  }
}

async function readOpened(path: string, handle: FileHandle, limits: ReadLimits): Promise<Model> {
  const before = await handle.stat()
  if (!before.isFile()) throw new OnnxUnreadableError(path, 'it is no regular file')
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0)
  const head = buffer.subarray(0, bytesRead)
  const other = looksLike(head)
  if (other !== undefined) throw new NotOnnxError(path, other)
  if (before.size > MOST_FILE_BYTES) throw new OnnxUnsupportedError('the file is larger than 2 GiB', { path })
  const wire = new WireReader(realpathSync(path), handle.fd, before.size, limits)
  const external = limits.externalData ? externalFiles(path) : noExternalFiles(path)
  const reading = { wire, limits, external, counts: { nodes: 0, tensors: 0 } }
  let model: Model
  try {
    model = wire.within('model', { offset: 0, length: before.size }, () => readModelProto(reading))
  } catch (error) {
    throw error instanceof OnnxMalformedError && looksLikeText(head) ? new NotOnnxError(path, 'text') : error
  }
  const after = await handle.stat()
  if (after.size !== before.size || after.mtimeMs !== before.mtimeMs) {
    throw new OnnxUnreadableError(path, 'it was changed while it was read')
  }
  return model
}

function readModelProto(reading: Reading): Model {
  const { wire } = reading
  let irVersion = 0
  const producer = { name: '', version: '' }
  let domain = ''
  let modelVersion = 0n
  let graph: Graph | undefined
  const opsets = new Map<string, number>()
  const functions: OnnxFunction[] = []
  const metadata = new Map<string, string>()
  while (wire.next()) {
    switch (wire.field) {
      case 1:
        irVersion = wire.integer()
        break
      case 2:
        producer.name = wire.string()
        break
      case 3:
        producer.version = wire.string()
        break
      case 4:
        domain = wire.string()
        break
      case 5:
        modelVersion = wire.int64()
        break
      case 7:
        if (graph !== undefined) wire.fail('it has two graphs')
        graph = readGraph(reading)
        break
      case 8:
        readOpset(reading, opsets)
        break
      case 14:
        readEntry(reading, metadata)
        break
      case 25:
        functions.push(readFunction(reading))
        break
      default:
        wire.skip()
    }
  }
  if (graph === undefined) return wire.fail('it has no graph')
  checkVersions(reading, irVersion, opsets)
  return { irVersion, opsets, producer, domain, modelVersion, graph, functions, metadata }
}

function checkVersions({ wire }: Reading, irVersion: number, opsets: Map<string, number>): void {
  if (irVersion < 1) wire.fail('it has no IR version')
  if (irVersion > NEWEST_IR) {
    throw new OnnxUnsupportedError(`IR version ${irVersion}, and ${NEWEST_IR} is the newest`, { irVersion })
  }
  if (opsets.size === 0) {
    if (irVersion >= FIRST_IR_WITH_OPSETS) wire.fail('it imports no operator set')
    opsets.set('', 1)
  }
}

function readOpset(reading: Reading, into: Map<string, number>): void {
  const { wire } = reading
  wire.hold(OBJECT_BYTES)
  wire.message('operator set', () => {
    let domain = ''
    let version = 0
    while (wire.next()) {
      if (wire.field === 1) domain = readDomain(reading)
      else if (wire.field === 2) version = wire.integer()
      else wire.skip()
    }
    if (version < 1) wire.fail(`it has version ${version}`)
    if (domain === '' && version > NEWEST_OPSET) {
      throw new OnnxUnsupportedError(`opset ${version}, and ${NEWEST_OPSET} is the newest`, { opset: version })
    }
    const known = into.get(domain)
    if (known !== undefined && known !== version) {
      throw new DuplicateDefinitionError('the imports of the file', 'operator set', domain)
    }
    into.set(domain, version)
  })
}

function readFunction(reading: Reading): OnnxFunction {
  const { wire } = reading
  wire.hold(8 * OBJECT_BYTES)
  return wire.message('function', () => {
    const text = { name: '', domain: '', overload: '' }
    const lists = { inputs: [] as string[], outputs: [] as string[], attributes: [] as string[] }
    const defaults = new Map<string, Attribute>()
    const nodes: Node[] = []
    const opsets = new Map<string, number>()
    const values = new Map<string, ValueInfo>()
    const metadata = new Map<string, string>()
    while (wire.next()) {
      switch (wire.field) {
        case 1:
          text.name = wire.string()
          break
        case 4:
          readText(reading, lists.inputs)
          break
        case 5:
          readText(reading, lists.outputs)
          break
        case 6:
          readText(reading, lists.attributes)
          break
        case 7:
          nodes.push(readNode(reading))
          break
        case 9:
          readOpset(reading, opsets)
          break
        case 10:
          text.domain = readDomain(reading)
          break
        case 11:
          readAttribute(reading, defaults)
          break
        case 12:
          addValue(values, readValueInfo(reading))
          break
        case 13:
          text.overload = wire.string()
          break
        case 14:
          readEntry(reading, metadata)
          break
        default:
          wire.skip()
      }
    }
    return { ...text, ...lists, defaults, nodes, opsets, values, metadata }
  })
}
