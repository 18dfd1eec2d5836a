/** Meshes out of a number: the same number, the same mesh. */
import type { Objective, PlanBlock, PlanInput, PlanLink, PlanPeer } from '../../src/placement/index.ts'

export interface Wanted {
  readonly peers: number
  readonly layers: number
  readonly objective: Objective
  /** The head was measured where it may be: at the origin, which has measured its blocks as well. @default false */
  readonly hasMeasured?: boolean
  /** Every second peer has measured what rows at once take there: from next to nothing to as much as one after the other. @default false */
  readonly hasCurves?: boolean
  /** Guesses were made: a step has some rows, and gives some of these as tokens. @default false */
  readonly hasGuesses?: boolean
}

export function randomOf(seed: number): () => number {
  let state = (seed * 2_654_435_761 + 12_345) >>> 0
  return () => {
    // Mulberry32, Tommy Ettinger 2017.
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** Sites on a map with a LAN each; speeds over two orders of size; memory from a block to the whole model. */
export function instance(
  seed: number,
  { peers: count, layers, objective, hasMeasured = false, hasCurves = false, hasGuesses = false }: Wanted,
): PlanInput {
  const random = randomOf(seed)
  const pick = <Item>(items: readonly Item[]): Item => items[Math.floor(random() * items.length)]!
  const spread = (least: number, most: number): number => least * (most / least) ** random()
  const memory = spread(2e6, 400e6)
  const odd = random() < 0.3
  const decoders = Array.from({ length: layers }, (): PlanBlock => {
    const size = odd ? 0.5 + random() : 1
    return {
      kind: 'decoder',
      memory: memory * size,
      flops: memory * 2 * (odd ? 0.7 + 0.6 * random() : 1),
      kv_bytes: 1024,
      boundaryBytes: 4096,
    }
  })
  const blocks: PlanBlock[] = [
    { kind: 'embedding', memory: memory / 2, flops: 0, kv_bytes: 0, boundaryBytes: 4096 },
    ...decoders,
    { kind: 'head', memory: memory / 2, flops: memory, kv_bytes: 0 },
  ]
  const tightness = pick([0.6, 1, 2, 4])
  const need = decoders.reduce((sum, block) => sum + block.memory + 1024 * 1024, 0)
  const sites = 1 + Math.floor(random() * 4)
  const site = Array.from({ length: count }, () => Math.floor(random() * sites))
  const peers = Array.from({ length: count }, (_, index): PlanPeer => ({
    id: `p${index}`,
    speed: spread(0.5e9, 50e9),
    threads: pick([1, 2, 4]),
    memory: index === 0 ? memory + need * random() * tightness : need * spread(0.02, 1) * tightness,
    reserved: 0,
  }))
  if (hasMeasured) {
    // Every peer has, as after a while in a mesh: of some alone, the speeds of the others are corrected by what these show.
    for (const [index, peer] of peers.entries()) {
      const blockMs = (memory / (peer.speed * peer.threads)) * 1000
      const headMs = index === 0 ? { headMs: blockMs * spread(0.05, 20) } : {}
      peers[index] = { ...peer, blockMs, ...headMs }
    }
  }
  if (hasCurves) {
    for (const [index, peer] of peers.entries()) {
      const share = random()
      if (index % 2 !== 0) continue
      const batchCurve = [1, 2, 4, 8, 16].map((rows) => ({ rows, factor: 1 + share * (rows - 1) }))
      peers[index] = { ...peer, batchCurve }
    }
  }
  const kind = pick(['sites', 'sites', 'random', 'star'])
  const links: PlanLink[] = []
  for (let from = 0; from < count; from++) {
    for (let to = from + 1; to < count; to++) {
      const near = kind === 'star' ? from === 0 : kind === 'sites' ? site[from] === site[to] : random() < 0.5
      links.push({
        from: `p${from}`,
        to: `p${to}`,
        rtt: near ? spread(0.2, 4) : spread(8, 150),
        bandwidth: near ? spread(5e6, 125e6) : spread(0.3e6, 12e6),
        jitter: near ? 0 : random() * 4,
        loss: random() < 0.2 ? random() * 0.02 : 0,
      })
    }
  }
  const concurrency = pick([1, 4, 16])
  const rows = 1 + random() * 7
  const guessing = hasGuesses ? { guessing: { rows, tokens: 1 + random() * (rows - 1) } } : {}
  return { blocks, peers, links, context: 1024, concurrency, origin: 'p0', objective, ...guessing }
}
