/**
 * Where a run can go on after any end: one .npz file with all that the next step needs, written whole or not at all.
 * Arrays `parameter/NAME`, `state/NAME`, `best/NAME`, and `meta`, JSON as bytes.
 */
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { readNpz, writeNpz } from '../../data/index.ts'
import type { AnyTensor, Tensor } from '../../onnx/index.ts'
import { CheckpointError } from '../errors.ts'
import { metricSchema } from '../plan/schema.ts'
import type { Progress } from './progress.ts'
import type { Tensors } from './stepper.ts'

export interface Checkpoint {
  readonly meta: CheckpointMeta
  readonly parameters: Tensors
  readonly state: Tensors
  /** Of the best evaluation so far. */
  readonly best: Tensors | undefined
}

export interface CheckpointMeta {
  readonly schema: 'weft.checkpoint/1'
  /** Of the plan, the seed and the shapes of the parameters. */
  readonly run: string
  readonly progress: Progress
  /** SHA-256 of the files of data. */
  readonly data: readonly string[]
  readonly threads: number
}

const count = z.int().min(0)
const metrics = z.partialRecord(metricSchema, z.number())
const metaSchema = z.object({
  schema: z.literal('weft.checkpoint/1'),
  run: z.string(),
  progress: z.object({
    step: count,
    epoch: count,
    in_epoch: count,
    loss_sum: z.number(),
    rows: count,
    curve: z.array(
      z.object({
        epoch: count,
        step: count,
        loss: z.number(),
        learning_rate: z.number(),
        validation: metrics.optional(),
      }),
    ),
    best: z.object({ epoch: count, value: z.number() }).optional(),
    since_best: count,
    stopped: z.boolean(),
  }),
  data: z.array(z.string()),
  threads: z.int().min(1).max(1024),
})

const NAME = /^checkpoint-(\d{10})\.npz$/

function checkpointName(step: number): string {
  return `checkpoint-${String(step).padStart(10, '0')}.npz`
}

/** Keeps the last `keep` of them. @throws DiskFullError, StoreUnwritableError */
export async function saveCheckpoint(folder: string, checkpoint: Checkpoint, keep: number): Promise<string> {
  const { meta, parameters, state, best = {} } = checkpoint
  const json = new TextEncoder().encode(JSON.stringify(meta))
  const arrays = new Map<string, AnyTensor>([['meta', { type: 'uint8', dims: [json.length], data: json }]])
  for (const [kind, tensors] of Object.entries({ parameter: parameters, state, best })) {
    for (const [name, tensor] of Object.entries(tensors)) arrays.set(`${kind}/${name}`, tensor)
  }
  const path = join(folder, checkpointName(meta.progress.step))
  await writeNpz(path, arrays)
  for (const name of (await checkpointNames(folder)).slice(0, -keep)) await rm(join(folder, name), { force: true })
  return path
}

/** The newest one of a folder. @throws CheckpointError when it is none, or that of another run */
export async function lastCheckpoint(folder: string, run: string): Promise<Checkpoint | undefined> {
  const name = (await checkpointNames(folder)).at(-1)
  if (name === undefined) return undefined
  const path = join(folder, name)
  const arrays = await readNpz(path)
  const meta = metaOf(path, arrays.get('meta'))
  if (meta.run !== run) throw new CheckpointError(path, 'it belongs to another model, plan or seed')
  const best = under(arrays, 'best/')
  return {
    meta,
    parameters: under(arrays, 'parameter/'),
    state: under(arrays, 'state/'),
    best: Object.keys(best).length === 0 ? undefined : best,
  }
}

/** Oldest first. */
async function checkpointNames(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => NAME.test(name)).sort()
}

function metaOf(path: string, tensor: AnyTensor | undefined): CheckpointMeta {
  try {
    const json: unknown = JSON.parse(new TextDecoder().decode(tensor!.data as Uint8Array))
    return metaSchema.parse(json) as CheckpointMeta
  } catch {
    throw new CheckpointError(path, 'it is no checkpoint')
  }
}

function under(arrays: ReadonlyMap<string, AnyTensor>, prefix: string): Tensors {
  const own = [...arrays].filter(([name]) => name.startsWith(prefix))
  return Object.fromEntries(own.map(([name, tensor]) => [name.slice(prefix.length), tensor as Tensor]))
}
