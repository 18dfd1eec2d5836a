/** Ranges of blocks that a stage host has loaded: what they serve together, and what they take. */
import type { ModelManifest } from '../models/index.ts'

export type BlockRange = readonly [from: number, to: number]

/**
 * Whether loaded ranges make up [from, to) exactly: a range of layers is one graph and cannot be entered in the middle.
 * Embedding and head stand by themselves.
 */
export function servesRange([from, to]: BlockRange, ranges: readonly BlockRange[], last: number): boolean {
  const embedding = from > 0 || ranges.some(([start]) => start === 0)
  const head = to < last || ranges.some(([, end]) => end === last)
  const layers = ranges.map(([start, end]) => [Math.max(start, 1), Math.min(end, last - 1)] as const)
  return embedding && head && tiled(Math.max(from, 1), Math.min(to, last - 1), layers)
}

function tiled(from: number, to: number, layers: readonly BlockRange[]): boolean {
  if (from >= to) return true
  return layers.some(([start, end]) => start === from && end > start && end <= to && tiled(end, to, layers))
}

export function same(one: readonly BlockRange[], other: readonly BlockRange[]): boolean {
  const key = (ranges: readonly BlockRange[]): string =>
    [...new Set(ranges.map(([from, to]) => `${from}-${to}`))].sort().join(' ')
  return key(one) === key(other)
}

/**
 * Memory of loaded ranges. A block that stands in several is there once: its weights are mapped. Where they are not, each
 * graph has a copy of its own; embedding and head are there once in any case.
 */
export function weightBytes(manifest: ModelManifest, ranges: readonly BlockRange[], mapped: boolean): number {
  const graphs = [...new Map(ranges.map((range) => [range.join(), range])).values()]
  return manifest.blocks.reduce((sum, block, index) => {
    const times = graphs.filter(([from, to]) => from <= index && index < to).length
    const copies = mapped || block.kind !== 'decoder' ? Math.min(times, 1) : times
    return sum + copies * block.memory
  }, 0)
}
