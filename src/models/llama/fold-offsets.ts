/**
 * Offsets of affine matrices put into what the engine has pre-packed of their integers (onnx/block-sums.ts): a matrix is then one
 * node where it was two, and its input needs no sums of its own. Compared with the nodes that it saves, on rows whose 8 bits are
 * exact, before anybody gets it.
 */
import { open, rm, writeFile } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { findBlockSums } from '../../onnx/index.ts'
import type { BlockSums, Engine, PrepackJob, StoredTensor, Tensor } from '../../onnx/index.ts'
import { matrixGraph } from './matrix-graph.ts'
import { hasFoldedOffsets } from './nodes.ts'
import type { PackedMatrix } from './pack.ts'

export type Affine = Extract<PackedMatrix, { readonly kind: 'blocks' }> & { readonly offsets: StoredTensor }

/** A single row goes through a kernel that takes no sums on some processors: there it is doubled (one-row.ts). */
const TRIAL_ROWS = [2, 5] as const
/** Sums of products in another order. */
const TOLERANCE = 1e-4
/** The largest integer of 8 bits; a block with it in has scale 1, and its integers are exact. */
const LARGEST = 127

/**
 * Changes the pre-packed forms in `job.target`. Matrices that cannot be folded stay as they are.
 * @param matrices with their forms
 * @returns those whose offsets are folded now
 * @throws EngineError, and what the file system throws
 */
export async function foldOffsets(
  engine: Engine,
  matrices: readonly PackedMatrix[],
  job: Pick<PrepackJob, 'directory' | 'target' | 'scratch'>,
): Promise<readonly Affine[]> {
  const affine = matrices.filter(isAffine)
  if (affine.length === 0) return []
  const file = await open(join(job.directory, job.target), 'r+')
  try {
    const sums = new Map<Affine, BlockSums>()
    for (const matrix of affine) {
      const found = await sumsOf(file, matrix)
      if (found !== undefined) sums.set(matrix, found)
    }
    const plain = [...sums.keys()]
    if (plain.length === 0) return []
    const expected = await answers(engine, plain.map(withoutForms), job)
    for (const matrix of plain) await sums.get(matrix)!.write(await floats(file, matrix.offsets))
    const folded = plain.map(foldedForm)
    if (!areNear(expected, await answers(engine, folded, job))) {
      for (const one of sums.values()) await one.restore()
      return []
    }
    return folded
  } finally {
    await file.close()
  }
}

function isAffine(matrix: PackedMatrix): matrix is Affine {
  return matrix.kind === 'blocks' && matrix.offsets !== null && !hasFoldedOffsets(matrix)
}

/**
 * The engine tells forms apart by what it packed itself, without offsets: two matrices with the same integers and scales would share
 * one. Those of a trained model do not have them; what is mostly zeros is left alone.
 */
async function sumsOf(file: FileHandle, matrix: Affine): Promise<BlockSums | undefined> {
  const { bits, block, inputs, outputs, quants } = matrix
  const form = quants.prepacked?.[0]
  if (form === undefined || quants.prepacked?.length !== 1) return undefined
  const scales = await floats(file, matrix.scales)
  if (2 * scales.filter((scale) => scale !== 0).length < scales.length) return undefined
  const sizes = { quants: (outputs * inputs * bits) / 8, zero: 2 ** (bits - 1), outputs, blocks: inputs / block }
  return findBlockSums({ file, form, ...sizes, scales })
}

/** What a graph needs to know of it; its offsets stay, for whoever takes the weights without forms. */
function foldedForm(matrix: Affine): Affine {
  const forms = matrix.quants.prepacked ?? []
  const quants = { ...matrix.quants, prepacked: forms.map((form) => ({ ...form, offsets: true })) }
  const { prepacked: _unused, ...offsets } = matrix.offsets
  return { ...matrix, quants, offsets }
}

function withoutForms(matrix: Affine): Affine {
  const { prepacked: _quants, ...quants } = matrix.quants
  const { prepacked: _offsets, ...offsets } = matrix.offsets
  return { ...matrix, quants, offsets }
}

async function floats(file: FileHandle, { offset, length }: StoredTensor): Promise<Float32Array> {
  const bytes = new Uint8Array(length)
  for (let done = 0; done < length;) {
    const { bytesRead } = await file.read(bytes, done, length - done, offset + done)
    if (bytesRead === 0) throw new RangeError(`the file of weights ends before ${offset + length}`)
    done += bytesRead
  }
  return new Float32Array(bytes.buffer)
}

/** Outputs of each matrix, for each number of rows. */
async function answers(
  engine: Engine,
  matrices: readonly Affine[],
  { directory, target, scratch }: Pick<PrepackJob, 'directory' | 'target' | 'scratch'>,
): Promise<readonly Float32Array[]> {
  const path = join(directory, `${scratch}.folded`)
  const here = matrices.map((matrix) => ({
    ...matrix,
    quants: { ...matrix.quants, file: target },
    scales: { ...matrix.scales, file: target },
    offsets: { ...matrix.offsets, file: target },
  }))
  try {
    await writeFile(path, matrixGraph(here), { mode: 0o600 })
    const graph = await engine.load(path, { threads: 1 })
    try {
      const all: Float32Array[] = []
      for (const rows of TRIAL_ROWS) {
        const feeds = matrices.map(({ inputs, block }, at): [string, Tensor] => [
          `x.${at}`,
          { type: 'float32', dims: [rows, inputs], data: exactValues(rows * inputs, block) },
        ])
        const names = matrices.map((_, at) => `y.${at}`)
        const made = await graph.run(Object.fromEntries(feeds), names)
        all.push(...names.map((name) => made[name]!.data as Float32Array))
      }
      return all
    } finally {
      await graph.release()
    }
  } finally {
    await rm(path, { force: true })
  }
}

/** Integers of 8 bits, the largest in each block. */
function exactValues(count: number, block: number): Float32Array {
  return Float32Array.from({ length: count }, (_, at) => (at % block === 0 ? LARGEST : ((at * 67) % 251) - 125))
}

function areNear(expected: readonly Float32Array[], actual: readonly Float32Array[]): boolean {
  return expected.every((values, index) => {
    const most = values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0)
    return values.every((value, at) => Math.abs(value - actual[index]![at]!) <= TOLERANCE * most)
  })
}
