/** What a run is like: peers, devices, ways and faults, all out of the seed, in ranges as TigerBeetle's VOPR has them. */
import type { Fleet } from '../../src/placement/index.ts'
import { fleetDevices, fleetWays } from './fleet.ts'
import type { Way } from './net/weather.ts'
import type { PeerPlan } from './peer.ts'
import type { Chance } from './random.ts'

export interface FaultRates {
  /** Events a minute, over all peers. */
  readonly crash: number
  readonly freeze: number
  readonly partition: number
  readonly slowWay: number
  readonly hostCrash: number
  readonly hostWedge: number
  readonly leave: number
  readonly slowDevice: number
  /** Share of the ring's frames behind which an old one comes once more. */
  readonly replay: number
  /** Of crashes: power cuts, after which nobody resets the connections. */
  readonly silent: number
  /** Of restarts: with an empty disk. */
  readonly reformat: number
}

export interface RunPlan {
  readonly layers: number
  readonly peers: readonly PeerPlan[]
  readonly rates: FaultRates
  /** Requests a minute, over all peers. */
  readonly requests: number
  /** Place of a peer whose stages give wrong rows, and how many of them; it is never of the core. */
  readonly liar: { readonly index: number; readonly share: number } | undefined
  /** Share of the rows of other peers that origins have checked. */
  readonly auditRate: number
  /** What lies between two peers, by their places. @default what their accesses add up to */
  readonly between: ((from: number, to: number) => Way) | undefined
}

export interface RunOptions {
  readonly seed: number
  /** @default out of the seed, 4 to 9 */
  readonly peers?: number
  /** In place of drawn devices and links; what breaks, and when, stays drawn. */
  readonly fleet?: Fleet
  /** Virtual minutes of faults; the time to heal comes on top. */
  readonly minutes: number
}

/** Shares of the model that a peer has room for. */
const ROOM = [0.35, 1.2] as const
const KV_ROOM = 400_000

export function planRun(chance: Chance, options: RunOptions): RunPlan {
  const layers = chance.whole(4, 8)
  const { fleet } = options
  const count = fleet?.peers.length ?? options.peers ?? chance.whole(4, 9)
  const given = fleet === undefined ? [] : fleetDevices(fleet, ROOM)
  const sites = chance.whole(1, 3)
  const isLossy = chance.is(0.4)
  const peers = Array.from({ length: count }, (_, index): PeerPlan => {
    const own = chance.of(`plan ${index}`)
    return {
      index,
      device: {
        speed: given[index]?.speed ?? { layerMs: own.between(0.4, 6), headMs: own.between(0.2, 2) },
        memory: Math.round(layers * 98_816 * (given[index]?.share ?? own.between(...ROOM))) + KV_ROOM * layers,
        ...(own.is(0.1) ? { boast: own.between(3, 20) } : {}),
        skew: own.is(0.15) ? own.between(-7_200_000, 7_200_000) : 0,
      },
      access: {
        latency: own.is(0.7) ? own.between(0.1, 3) : own.between(3, 60),
        jitter: own.between(0, 5),
        rate: own.between(100, 100_000),
        loss: isLossy ? own.between(0, 0.15) : 0,
      },
      lan: `site ${index % sites}`,
      hasModel: index < 2,
    }
  })
  const often = (most: number): number => (chance.is(0.7) ? chance.between(0, most) : 0)
  const rates: FaultRates = {
    crash: chance.between(0.5, 3),
    freeze: often(3),
    partition: often(2),
    slowWay: often(3),
    hostCrash: often(2),
    hostWedge: often(1),
    leave: often(2),
    slowDevice: often(2),
    replay: chance.is(0.5) ? chance.between(0, 0.02) : 0,
    silent: chance.between(0, 1),
    reformat: 0.3,
  }
  // The core is more than half, and the two that keep the model are of it: somebody is left to lie.
  const liar = count >= 4 && chance.is(0.25) ? { index: count - 1, share: chance.pick([1, 0.3, 0.05]) ?? 1 } : undefined
  const auditRate = liar !== undefined || chance.is(0.3) ? chance.between(0.1, 1) : 0
  const between = fleet === undefined ? undefined : fleetWays(fleet)
  return { layers, peers, rates, requests: chance.between(10, 40), liar, auditRate, between }
}
