/** Training by a program of the site's own: global weights in, update out, in NumPy's format. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { readNpz, writeNpz } from '../../data/index.ts'
import { TrainerError } from '../plan/errors.ts'
import { sizeOf, tensorsOf } from './parameters.ts'
import type { ParameterShape } from './parameters.ts'

export interface ExternalTrainer {
  /** A command line of the shell; the two files are added to it. */
  readonly command: string
  readonly folder: string
}

const MOST_OUTPUT = 1 << 20

/** The update. @throws TrainerError: the program failed, or what it wrote has other names, shapes or types */
export async function trainOutside(
  { command, folder }: ExternalTrainer,
  site: string,
  shapes: readonly ParameterShape[],
  start: Float32Array,
): Promise<Float64Array> {
  const [from, to] = [join(folder, 'in.npz'), join(folder, 'out.npz')]
  await writeNpz(from, new Map(Object.entries(tensorsOf(shapes, start))))
  try {
    await promisify(execFile)('/bin/sh', ['-c', `${command} "$0" "$1"`, from, to], { maxBuffer: MOST_OUTPUT })
  } catch (error) {
    throw new TrainerError(site, `"${command}" failed: ${(error as Error).message.slice(0, 300)}`, error)
  }
  const arrays = await readNpz(to)
  const update = new Float64Array(start.length)
  let at = 0
  for (const shape of shapes) {
    const found = arrays.get(shape.name)
    const size = sizeOf(shape)
    const isNumber = found !== undefined && (found.type === 'float32' || found.type === 'float64')
    if (!isNumber || found.dims.join() !== shape.dims.join()) {
      throw new TrainerError(site, `"${command}" wrote no ${shape.name} of [${shape.dims.join(', ')}] in float32`)
    }
    update.set(found.data as Float32Array, at)
    at += size
  }
  return update
}
