/** Peers for a part of the blocks between two peers that stay: what is left to do when a stage is lost. */
import { figuresOf } from './cost.ts'
import type { Figures } from './cost.ts'
import { BlockRangeError } from './errors.ts'
import { checkPlanInput } from './input.ts'
import { minimise } from './search/minimise.ts'
import { groundOf, problemOf } from './search/problem.ts'
import type { Ground } from './search/problem.ts'
import { ORIGIN } from './types.ts'
import type { PlanBlock, PlanInput, PlanPeer, Stage } from './types.ts'

/** A replacement is wanted at once. */
const SHAKES = 2

/**
 * The cheapest way for a token through blocks [from, to) of the model, from the peer `before` to the peer `after` (ids or
 * `origin`, which need not be among the peers of the input). Peers hold what their `reserved` leaves; on the origin the
 * ends are thought to be loaded. Undefined when they cannot hold the blocks together.
 * @throws PlanInputError, BlockRangeError
 */
export function planRange(
  input: PlanInput,
  from: number,
  to: number,
  before: string,
  after: string,
): Stage[] | undefined {
  checkPlanInput(input)
  const isRange = Number.isInteger(from) && Number.isInteger(to) && from >= 0 && from < to && to <= input.blocks.length
  if (!isRange) throw new BlockRangeError({ peer: before, from, to }, 0, input.blocks.length)
  const figures = figuresOf(input)
  const blocks = input.blocks.slice(from, to)
  const id = (peer: string): string => (peer === ORIGIN ? input.origin : peer)
  const kv = (block: PlanBlock): number => block.kv_bytes * input.context * input.concurrency
  const bytes = input.blocks.slice(Math.max(0, from - 1), to).map((block) => block.boundaryBytes ?? 0)
  return chainOf(figures, input.peers, (peer) => figures.room(peer), {
    blocks,
    needs: blocks.map((block) => block.memory + kv(block)),
    rowBytes: from === 0 ? [0, ...bytes] : bytes,
    before: id(before),
    after: id(after),
  })?.map((stage) => ({ peer: stage.peer, from: stage.from + from, to: stage.to + from }))
}

/** The same for decoder blocks, counted from the first, and with rooms of the caller's. */
export function planParts(
  figures: Figures,
  peers: readonly PlanPeer[],
  room: (peer: PlanPeer) => number,
  { from, to }: Pick<Stage, 'from' | 'to'>,
  before: string,
  after: string,
): Stage[] | undefined {
  const indexes = Array.from({ length: to - from }, (_, index) => from + index)
  return chainOf(figures, peers, room, {
    blocks: indexes.map((index) => figures.decoder(index)),
    needs: indexes.map((index) => figures.need(index, index + 1)),
    rowBytes: [...indexes, to].map((index) => figures.boundary(index)),
    before,
    after,
  })?.map((stage) => ({ peer: stage.peer, from: stage.from + from, to: stage.to + from }))
}

interface Range extends Pick<Ground, 'needs' | 'rowBytes'> {
  readonly blocks: readonly PlanBlock[]
  readonly before: string
  readonly after: string
}

/** Ranges counted from the first block of this one. */
function chainOf(
  figures: Figures,
  listed: readonly PlanPeer[],
  room: (peer: PlanPeer) => number,
  { blocks, needs, rowBytes, before, after }: Range,
): Stage[] | undefined {
  const least = Math.min(...needs)
  const peers = listed.filter((peer) => room(peer) >= least).sort((left, right) => (left.id < right.id ? -1 : 1))
  const ground = groundOf({ peers, needs, rooms: peers.map(room), rowBytes }, figures.links, before, after)
  const ms = (peer: number, block: number): number => figures.blockMs(peers[peer]!, blocks[block]!)
  const chain = minimise(problemOf(ground, { rows: 1, ms }), { shakes: SHAKES })
  return chain?.stages.map((stage) => ({ peer: peers[stage.peer]!.id, from: stage.from, to: stage.to }))
}
