/** What a move takes: bytes that are not there yet, and the time until they are loaded. */
import { ORIGIN } from '../types.ts'
import type { PlanBlock, PlanInput, Stage } from '../types.ts'
import { LOAD_RATE, USUAL_BANDWIDTH } from './limits.ts'
import type { Blocks, HeldBlocks } from './types.ts'

const NOTHING: HeldBlocks = { tensors: [], ready: [], failed: [] }

export function heldBy(held: ReadonlyMap<string, HeldBlocks>, peer: string): HeldBlocks {
  return held.get(peer) ?? NOTHING
}

/** Ranges that make up [from, to) exactly: a range of layers is one graph and cannot be entered in the middle. */
export function isReadyAt(held: ReadonlyMap<string, HeldBlocks>, { peer, from, to }: Stage): boolean {
  const { ready } = heldBy(held, peer)
  const tiles = (at: number): boolean =>
    at === to || ready.some(([start, end]) => start === at && end > at && end <= to && tiles(end))
  return tiles(from)
}

/** Stages that somebody has to load: whoever asks has embedding and head by itself. */
export function placed(stages: readonly Stage[]): Stage[] {
  return stages.filter(({ peer }) => peer !== ORIGIN)
}

export function movingCost(
  input: PlanInput,
  held: ReadonlyMap<string, HeldBlocks>,
  target: readonly Stage[],
): { readonly bytes: number; readonly seconds: number } {
  const byPeer = new Map<string, { fetch: number; load: number }>()
  for (const stage of placed(target)) {
    if (isReadyAt(held, stage)) continue
    const { tensors } = heldBy(held, stage.peer)
    const sum = byPeer.get(stage.peer) ?? { fetch: 0, load: 0 }
    for (let block = stage.from; block < stage.to; block++) {
      const { memory } = input.blocks[block]!
      sum.load += memory
      if (!tensors.some((range) => has(range, block))) sum.fetch += memory
    }
    byPeer.set(stage.peer, sum)
  }
  const times = [...byPeer].map(([peer, { fetch, load }]) => fetch / bandwidthTo(input, held, peer) + load / LOAD_RATE)
  return {
    bytes: [...byPeer.values()].reduce((sum, { fetch }) => sum + fetch, 0),
    seconds: Math.max(0, ...times),
  }
}

/** Whether every peer can hold what it holds of the standing placement and its part of the target beside each other. */
export function fitsBeside(input: PlanInput, standing: readonly Stage[], target: readonly Stage[]): boolean {
  return input.peers.every(({ id, memory, reserved }) => {
    const own = (stages: readonly Stage[]): Stage[] => placed(stages).filter(({ peer }) => peer === id)
    if (own(target).length === 0) return true
    const ends = id === input.origin ? input.blocks.filter(({ kind }) => kind !== 'decoder') : []
    const kv = (block: PlanBlock): number => block.kv_bytes * input.context * input.concurrency
    const covered = (stages: readonly Stage[], block: number): boolean =>
      stages.some(({ from, to }) => from <= block && block < to)
    const need = input.blocks.reduce(
      (sum, block, index) => {
        const isNew = covered(own(target), index)
        const isThere = isNew || covered(own(standing), index)
        return sum + (isThere ? block.memory : 0) + (isNew ? kv(block) : 0)
      },
      ends.reduce((sum, { memory: bytes }) => sum + bytes, 0),
    )
    return need <= memory - reserved
  })
}

/** The best line from anybody who has tensors of the model. */
function bandwidthTo(input: PlanInput, held: ReadonlyMap<string, HeldBlocks>, peer: string): number {
  const known = (input.links ?? []).filter(
    ({ from, to, bandwidth }) => to === peer && bandwidth > 0 && heldBy(held, from).tensors.length > 0,
  )
  return known.length === 0 ? USUAL_BANDWIDTH : Math.max(...known.map(({ bandwidth }) => bandwidth))
}

function has([from, to]: Blocks, block: number): boolean {
  return from <= block && block < to
}
