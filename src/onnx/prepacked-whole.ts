/**
 * The file that the engine writes of pre-packed weights, taken as it is: each large tensor lies in it at a page's start, and what
 * its kernel made of it directly behind it, which is a page's start too wherever the tensor fills whole pages. What does not lie
 * so is copied behind, if it is little. Copying everything takes a quarter of the time that pre-packing takes (measured).
 */
import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import type { PrepackedForm } from './graph.ts'
import { WEIGHT_ALIGNMENT } from './weight-file.ts'

export interface StoredRange {
  readonly offset: number
  readonly length: number
}

/** A tensor of a graph before and after the engine has written it. */
export interface SavedTensor {
  readonly name: string
  readonly before: StoredRange
  /** Undefined: it is not in the engine's file. */
  readonly after: StoredRange | undefined
  readonly forms: readonly PrepackedForm[]
}

/** Where a tensor lies, and its pre-packed forms. */
export interface PlacedTensor {
  readonly offset: number
  readonly forms: readonly PrepackedForm[]
}

/** What has to be copied behind the engine's file before all in it lies at pages. */
export interface Carried {
  /** Tensors, from the file of the weights. */
  readonly tensors: readonly StoredRange[]
  /** Parts of forms, from the engine's file itself. */
  readonly parts: readonly StoredRange[]
}

/** Of all weights: where more does not lie well, everything is laid anew. */
const MOST_CARRIED = 1 / 2
/** What a processor's own cache holds. */
const COPY_BYTES = 1 << 19

/**
 * Undefined where the engine's file does not hold what is expected, or too little of it lies well.
 * @param others that no tensor of the graph is
 */
export function carriedOf(tensors: readonly SavedTensor[], others: readonly StoredRange[]): Carried | undefined {
  const carried = { tensors: [...others], parts: [] as StoredRange[] }
  let all = sum(others)
  for (const { before, after, forms } of tensors) {
    if (after !== undefined && after.length !== before.length) return undefined
    all += before.length
    if (after === undefined || !isAtPage(after)) carried.tensors.push(before)
    for (const { parts } of forms) carried.parts.push(...parts.filter((part) => !isAtPage(part)))
  }
  return sum([...carried.tensors, ...carried.parts]) <= all * MOST_CARRIED ? carried : undefined
}

const isAtPage = ({ offset }: StoredRange): boolean => offset % WEIGHT_ALIGNMENT === 0
const sum = (ranges: readonly StoredRange[]): number => ranges.reduce((all, { length }) => all + length, 0)

/** The new offsets of what was copied, by the old ones. */
export interface Moved {
  readonly tensors: ReadonlyMap<number, number>
  readonly parts: ReadonlyMap<number, number>
}

/** Copies them behind what the engine has written, each to a page's start. */
export async function completeWhole(carried: Carried, weights: string, whole: string): Promise<Moved> {
  await using from = await open(weights, 'r')
  await using to = await open(whole, 'r+')
  // The engine makes it as the umask says; what a home holds is its owner's.
  await to.chmod(0o600)
  let { size: end } = await to.stat()
  const copied = async (source: FileHandle, ranges: readonly StoredRange[]): Promise<ReadonlyMap<number, number>> => {
    const offsets = new Map<number, number>()
    for (const { offset, length } of ranges) {
      const at = Math.ceil(end / WEIGHT_ALIGNMENT) * WEIGHT_ALIGNMENT
      await copyRange(source, offset, length, to, at)
      offsets.set(offset, at)
      end = at + length
    }
    return offsets
  }
  return { parts: await copied(to, carried.parts), tensors: await copied(from, carried.tensors) }
}

/** @throws RangeError where the file is too short, and what the file system throws */
export async function copyRange(
  from: FileHandle,
  offset: number,
  length: number,
  to: FileHandle,
  at: number,
): Promise<void> {
  const buffer = new Uint8Array(Math.min(length, COPY_BYTES))
  for (let done = 0; done < length;) {
    const { bytesRead } = await from.read(buffer, 0, Math.min(buffer.length, length - done), offset + done)
    if (bytesRead === 0) throw new RangeError(`the engine's file ends before ${offset + length}`)
    for (let written = 0; written < bytesRead;) {
      written += (await to.write(buffer, written, bytesRead - written, at + done + written)).bytesWritten
    }
    done += bytesRead
  }
}
