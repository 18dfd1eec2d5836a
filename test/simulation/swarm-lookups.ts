/** Who holds the model, as peers of a swarm know it: whether the one they name is there and has it, and how soon it answers. */
import { BLOB_PROTOCOLS } from '../../src/mesh/blob-wire.ts'
import type { RunLog } from './log.ts'
import type { SimulatedPeer } from './peer.ts'
import type { Scheduler } from './scheduler.ts'

/** Who has not answered within this counts as not answering. */
const ANSWER_MS = 2_000

export interface LookupResult {
  readonly lookups: number
  /** The peer that is named is up, and has the model. */
  readonly right: number
  /** It answered a question. */
  readonly answered: number
  /** Virtual milliseconds from the look-up to the answer of who is named, of those that answered. */
  readonly answerP95Ms: number
  /** Milliseconds of the machine that a look-up itself takes. */
  readonly machineP95Ms: number
  /** Why those that were wrong were: `none` named, `down`, `no model`. */
  readonly wrong: Readonly<Record<string, number>>
}

export interface LookupNeeds {
  readonly scheduler: Scheduler
  readonly log: RunLog
  readonly peers: readonly SimulatedPeer[]
  readonly machineNow: () => number
}

export class Lookups {
  readonly #needs: LookupNeeds
  readonly #byId = new Map<string, SimulatedPeer>()
  readonly #machineMs: number[] = []
  readonly #answerMs: number[] = []
  readonly #wrong = new Map<string, number>()
  #count = 0

  constructor(needs: LookupNeeds) {
    this.#needs = needs
  }

  by(asking: SimulatedPeer): void {
    const { log, machineNow, peers, scheduler } = this.#needs
    if (this.#byId.size < peers.length) for (const peer of peers) if (peer.id !== '') this.#byId.set(peer.id, peer)
    const started = machineNow()
    const found = holderOf(asking)
    this.#machineMs.push(machineNow() - started)
    this.#count++
    const named = found === undefined ? undefined : this.#byId.get(found)
    const why = named === undefined ? 'none' : named.isUp ? (named.plan.hasModel ? undefined : 'no model') : 'down'
    if (why !== undefined) {
      this.#wrong.set(why, (this.#wrong.get(why) ?? 0) + 1)
      const silent = named === undefined || named.network === undefined ? '' : named.network.isSilent
      log.add('wrong', asking.name, named?.name, why, silent)
    }
    if (named === undefined) return
    const since = scheduler.now
    const late = new AbortController()
    const cancel = scheduler.after(ANSWER_MS, () => late.abort(new Error('no answer')))
    void asking
      .network!.open(named.id, BLOB_PROTOCOLS[0]![1], late.signal)
      .then((channel) => {
        this.#answerMs.push(scheduler.now - since)
        return channel.close()
      })
      .catch(() => undefined)
      .finally(cancel)
  }

  get result(): LookupResult {
    return {
      lookups: this.#count,
      right: this.#count - [...this.#wrong.values()].reduce((sum, count) => sum + count, 0),
      answered: this.#answerMs.length,
      answerP95Ms: p95(this.#answerMs),
      machineP95Ms: p95(this.#machineMs),
      wrong: Object.fromEntries(this.#wrong),
    }
  }
}

/** Who has the model, as a peer knows: the nearest of those that it is connected to, or else one that it has heard of. */
function holderOf(by: SimulatedPeer): string | undefined {
  const { peers } = by.peer!.status()
  const holders = peers.filter(({ state, models }) => state === 'connected' && models.length > 0)
  return holders.sort((left, right) => (left.rtt_ms ?? Infinity) - (right.rtt_ms ?? Infinity))[0]?.id
}

function p95(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right)
  return sorted[Math.floor(sorted.length * 0.95)] ?? 0
}
