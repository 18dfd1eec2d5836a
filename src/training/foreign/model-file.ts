/** A model of somebody else's as the beginning of a training: opened in a guarded child first, then read into memory. */
import { fileURLToPath } from 'node:url'
import { join, resolve } from 'node:path'
import { checkModel, constantsToInitializers, inlineFunctions, readModel, readTensor } from '../../onnx/index.ts'
import type { LoadOptions, Model, TensorValue } from '../../onnx/index.ts'
import { fileDigest } from '../../data/index.ts'
import { runGuarded } from '../../util/index.ts'
import type { Clock } from '../../util/index.ts'
import { modernise } from '../autodiff/modernise.ts'
import { TrainedModelError } from '../errors.ts'

export interface ModelFileNeeds {
  readonly clock: Clock
  /** From which a relative path counts. */
  readonly folder: string
  /** Of this user alone: what the child compiles goes there. */
  readonly work: string
  /** Bytes. */
  readonly memory: number
  readonly options: LoadOptions
}

const SILENCE_MS = 120_000
/** Node and the engine alone hold about this much. */
const LEAST_MEMORY = 2 ** 29

/** With all weights in memory, in an operator set that rules know. @throws TrainedModelError, and the errors of models */
export async function openModelFile(needs: ModelFileNeeds, path: string, signal?: AbortSignal): Promise<Model> {
  const absolute = resolve(needs.folder, path)
  const model = checkModel(inlineFunctions(await readModel(absolute)))
  await tryToLoad(needs, absolute, signal)
  const held = { ...model, graph: constantsToInitializers(model.graph) }
  const initializers = new Map<string, TensorValue>()
  for (const [name, tensor] of held.graph.initializers) {
    if (tensor.data.kind !== 'range') initializers.set(name, tensor)
    else {
      const elements = (await readTensor(tensor, { maxBytes: needs.memory })) as Uint8Array
      const bytes = new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength)
      initializers.set(name, { ...tensor, data: { kind: 'bytes', bytes } })
    }
  }
  return modernise({ ...held, graph: { ...held.graph, initializers } }, {})
}

/**
 * SHA-256 in hexadecimal of a model file; where weights lie in others, of it and then those in the order of their names, one after the other.
 * @throws the errors of models; TableUnreadableError
 */
export async function modelFileDigest(path: string, signal?: AbortSignal): Promise<string> {
  const absolute = resolve(path)
  const { graph } = await readModel(absolute)
  const others = [...graph.initializers.values()].flatMap(({ data }) =>
    data.kind === 'range' && resolve(data.path) !== absolute ? [data.path] : [],
  )
  return fileDigest([absolute, ...[...new Set(others)].sort()], signal)
}

async function tryToLoad(needs: ModelFileNeeds, path: string, signal?: AbortSignal): Promise<void> {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const outcome = await runGuarded(
    needs,
    {
      program: fileURLToPath(new URL(`./open-main.${extension}`, import.meta.url)),
      input: { path, options: needs.options },
      memory: Math.max(LEAST_MEMORY, needs.memory),
      silence: SILENCE_MS,
      codeCache: join(needs.work, 'code'),
    },
    signal,
  )
  if (outcome.kind === 'error') throw new TrainedModelError(outcome.error.why ?? outcome.error.message, { path })
  if (outcome.kind === 'ended')
    throw new TrainedModelError(`the engine ended over it: ${outcome.end.why} ${outcome.end.last}`, { path })
}
