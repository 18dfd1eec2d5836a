/** Training by a program of the site's own: global weights in, update out, in NumPy's format. */
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { readNpz, writeNpz } from '../../data/index.ts'
import { FedPlanError, TrainerError } from '../plan/errors.ts'
import { isAnalysis } from '../plan/job-plan.ts'
import type { JobPlan } from '../plan/job-plan.ts'
import { sizeOf, tensorsOf } from './parameters.ts'
import type { ParameterShape } from './parameters.ts'

export interface ExternalTrainer {
  /** A command line of the shell; the two files are added to it. */
  readonly command: string
  readonly folder: string
}

/** Characters of what the program said last. */
const MOST_SAID = 300

/** A program has weights in and an update out, and nothing else. @throws FedPlanError for a plan that needs more of it */
export function checkOutside(plan: JobPlan): void {
  const refuse = (field: string, why: string): never => {
    throw new FedPlanError(plan.name, field, `cannot be carried out by a program of --trainer: ${why}`)
  }
  if (isAnalysis(plan)) return refuse('schema', 'in an analysis nothing is trained')
  const { privacy = 'off', strategy, local, ditto } = plan
  if (privacy !== 'off' && privacy.unit === 'record')
    refuse('privacy.unit', 'the gradient of each record is clipped here')
  if (strategy.name === 'scaffold') refuse('strategy.name', 'its controls are added to each gradient')
  if (strategy.name === 'fednova') refuse('strategy.name', 'nobody knows how many steps it takes')
  if ((local.proximal ?? 0) > 0) refuse('local.proximal', 'the term is added to each gradient')
  if (local.balance === true) refuse('local.balance', "which records count how often is the program's own affair")
  if (ditto !== undefined) refuse('ditto', 'its own model is trained here')
}

/** The update. @throws TrainerError: the program failed, or what it wrote has other names, shapes or types */
export async function trainOutside(
  { command, folder }: ExternalTrainer,
  site: string,
  shapes: readonly ParameterShape[],
  start: Float32Array,
  signal?: AbortSignal,
): Promise<Float64Array> {
  // Of this call alone: what an earlier round wrote is never read for this one.
  const own = await mkdtemp(join(folder, 'trainer-'))
  const [from, to] = [join(own, 'in.npz'), join(own, 'out.npz')]
  try {
    await writeNpz(from, new Map(Object.entries(tensorsOf(shapes, start))))
    await run(command, [from, to], site, signal)
    const arrays = await readNpz(to).catch((error: unknown) => {
      throw new TrainerError(site, `"${command}" wrote no update: ${(error as Error).message}`, error)
    })
    return updateOf(arrays, shapes, start.length, (name) => {
      throw new TrainerError(site, `"${command}" wrote no ${name} in float32`)
    })
  } finally {
    await rm(own, { recursive: true, force: true })
  }
}

function updateOf(
  arrays: Awaited<ReturnType<typeof readNpz>>,
  shapes: readonly ParameterShape[],
  length: number,
  missing: (what: string) => never,
): Float64Array {
  const update = new Float64Array(length)
  let at = 0
  for (const shape of shapes) {
    const found = arrays.get(shape.name)
    const isNumber = found !== undefined && (found.type === 'float32' || found.type === 'float64')
    if (!isNumber || found.dims.join() !== shape.dims.join()) missing(`${shape.name} of [${shape.dims.join(', ')}]`)
    else update.set(found.data as Float32Array, at)
    at += sizeOf(shape)
  }
  return update
}

/** To the end of the program; its whole group ends with the signal. @throws TrainerError */
function run(command: string, files: readonly [string, string], site: string, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted()
  const child = spawn('/bin/sh', ['-c', `${command} "$0" "$1"`, ...files], {
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-MOST_SAID)))
  const stop = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
    } catch {
      // It has ended already.
    }
  }
  signal?.addEventListener('abort', stop, { once: true })
  return new Promise<void>((resolve, reject) => {
    const failed = (why: string, cause?: unknown): void =>
      reject(new TrainerError(site, `"${command}" failed: ${why}`, cause))
    child.once('error', (error) => failed(error.message, error))
    child.once('close', (code, by) => {
      if (signal?.aborted === true) reject(signal.reason as Error)
      else if (code === 0) resolve()
      else failed(`${by ?? `exit ${code}`}${said === '' ? '' : `: ${said.trim()}`}`)
    })
  }).finally(() => signal?.removeEventListener('abort', stop))
}
