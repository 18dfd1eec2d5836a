/**
 * Before a placement is published each peer that it gives something to is asked whether its site lets this one place there
 * (docs/wire.md, /weft/place/1): one that refuses is named at once with its rule, and what stands goes on.
 */
import * as z from 'zod'
import { askOver, decodeControl, encodeControl, frame } from '../net/index.ts'
import type { Network } from '../net/index.ts'
import { ORIGIN } from '../placement/index.ts'
import type { Plan } from '../placement/index.ts'
import { PolicyRefusedError } from '../trust/index.ts'
import type { Decision } from '../trust/index.ts'
import type { Clock } from '../util/index.ts'
import type { Parts } from './parts.ts'

export const PLACE_PROTOCOL = '/weft/place/1'
/** Types of frames. Control of a question: digest; of an answer: allow, rule, why. */
export const PLACE = { ask: 94, answer: 95 } as const

/** One that does not answer by then is asked by what it loads, as one of a version before. */
const ANSWER_MS = 2_000
/** From one question to the next while its stages are waited for: a policy may change meanwhile. */
const AGAIN_MS = 2_000
/** More are not in one placement, one after the other. */
const MOST_PLANS = 64
/** For which a peer that refused is left out of what is planned here. */
const REMEMBERED_MS = 60_000

const askSchema = z.object({ digest: z.string().regex(/^[0-9a-f]{64}$/) })
const answerSchema = z.object({
  allow: z.boolean(),
  rule: z.string().max(160),
  why: z.string().max(2048),
})

/** What a peer with a policy is asked. */
export interface PlaceGate {
  mayPlace(author: string, digest: string): Decision
}

export function servePlaceAsking(network: Pick<Network, 'handle'>, gate: PlaceGate): void {
  network.handle(PLACE_PROTOCOL, 'place', (channel) => {
    channel.onFrame(async ({ type, request, control }) => {
      const asked = askSchema.safeParse(decodeControl(control))
      if (type !== PLACE.ask || !asked.success) return channel.abort(new Error('no question about a placement'))
      const { allow, rule, why } = gate.mayPlace(channel.remote, asked.data.digest)
      const answer = { allow, rule: rule.slice(0, 160), why: why.slice(0, 2048) }
      await channel.send(frame({ type: PLACE.answer, request, control: encodeControl(answer) }))
    })
  })
}

export interface PlaceAskingParts {
  /** Null: alone. */
  readonly network: Network | null
  readonly gate: PlaceGate
  readonly nameOf: (peer: string) => string | undefined
}

/** Both sides of it. */
export function placeAskingOf(
  { clock, identity, logger, telemetry }: Pick<Parts, 'clock' | 'identity' | 'logger' | 'telemetry'>,
  { network, gate, nameOf }: PlaceAskingParts,
): PlaceAsking {
  if (network !== null) servePlaceAsking(network, gate)
  const refused = (peer: string, rule: string): void => {
    telemetry.count('placements_refused')
    logger.info({ peer, rule }, 'the policy of a peer does not let this one place a model there')
  }
  return new PlaceAsking({ self: identity.id, clock, network, nameOf, refused })
}

export interface PlaceAskingNeeds {
  readonly self: string
  readonly clock: Clock
  /** Null: alone, and nobody to ask. */
  readonly network: Pick<Network, 'open'> | null
  readonly nameOf: (peer: string) => string | undefined
  refused(peer: string, rule: string): void
}

interface Placed {
  readonly digest: string
  readonly model: string
}

export class PlaceAsking {
  readonly #needs: PlaceAskingNeeds
  /** Until when, by digest and peer. */
  readonly #refusals = new Map<string, number>()

  constructor(needs: PlaceAskingNeeds) {
    this.#needs = needs
  }

  /** It has said lately that it loads nothing of this model that this peer places. */
  has(peer: string, digest: string): boolean {
    return (this.#refusals.get(`${digest} ${peer}`) ?? -Infinity) > this.#needs.clock.now()
  }

  /** @throws what the first of those who refuse has said */
  async admit(placed: Placed, peers: Iterable<string>, signal?: AbortSignal): Promise<void> {
    const [refused] = await this.ask(placed, peers, signal)
    if (refused !== undefined) throw refused
  }

  /**
   * What is planned, and planned again without those who refuse it.
   * @throws what `plan` throws; where it is for want of those who refuse, what one of them has said
   */
  async agreed(placed: Placed, plan: () => Plan, signal?: AbortSignal): Promise<Plan> {
    let refused: PolicyRefusedError | undefined
    for (let rounds = 0; ; rounds++) {
      let next: Plan
      try {
        next = plan()
      } catch (error) {
        if (refused !== undefined) throw refused
        // Those who refused lately are asked again before it is said that there is no room.
        if (rounds > 0 || !this.#forget(placed.digest)) throw error
        continue
      }
      const [first] = await this.ask(
        placed,
        [...next.stages].map(({ peer }) => peer),
        signal,
      )
      if (first === undefined) return next
      if (rounds >= MOST_PLANS) throw first
      refused = first
    }
  }

  /** @returns what those who refuse have said; nothing of those who do not answer */
  async ask(placed: Placed, peers: Iterable<string>, signal?: AbortSignal): Promise<readonly PolicyRefusedError[]> {
    const others = new Set([...peers].filter((peer) => peer !== this.#needs.self && peer !== ORIGIN))
    const answers = await Promise.all([...others].map((peer) => this.#askOne(placed, peer, signal)))
    signal?.throwIfAborted()
    return answers.flatMap((refused) => refused ?? [])
  }

  /** Asks again while stages are waited for. Its `check` throws what a peer has answered to an earlier one. */
  follow(placed: Placed): { check(waiting: readonly string[]): void } {
    const { clock } = this.#needs
    let next = clock.now() + AGAIN_MS
    let refused: PolicyRefusedError | undefined
    return {
      check: (waiting) => {
        if (refused !== undefined) throw refused
        if (clock.now() < next) return
        next = Infinity
        void this.ask(placed, waiting).then(([first]) => {
          refused = first
          next = clock.now() + AGAIN_MS
        })
      },
    }
  }

  /** @returns whether there was anything to forget */
  #forget(digest: string): boolean {
    const keys = [...this.#refusals.keys()].filter((key) => key.startsWith(`${digest} `))
    for (const key of keys) this.#refusals.delete(key)
    return keys.length > 0
  }

  async #askOne(placed: Placed, peer: string, signal?: AbortSignal): Promise<PolicyRefusedError | undefined> {
    const { self, nameOf } = this.#needs
    const { digest, model } = placed
    const key = `${digest} ${peer}`
    const decision = await this.#answerOf(peer, digest, signal)
    if (decision?.allow !== false) {
      this.#refusals.delete(key)
      return undefined
    }
    for (const [other, until] of this.#refusals) if (until <= this.#needs.clock.now()) this.#refusals.delete(other)
    this.#refusals.set(key, this.#needs.clock.now() + REMEMBERED_MS)
    this.#needs.refused(peer, decision.rule)
    const name = nameOf(peer)
    return new PolicyRefusedError({ action: 'place', peer: self, model }, decision, { peer, name })
  }

  /** Undefined: it did not answer, or is of a version that is not asked. */
  async #answerOf(peer: string, digest: string, signal?: AbortSignal): Promise<Decision | undefined> {
    const { clock, network } = this.#needs
    const late = new AbortController()
    const cancel = clock.after(ANSWER_MS, () => late.abort())
    const either = signal === undefined ? late.signal : AbortSignal.any([signal, late.signal])
    try {
      const channel = await network?.open(peer, PLACE_PROTOCOL, either)
      if (channel === undefined) return undefined
      try {
        const question = frame({ type: PLACE.ask, control: encodeControl({ digest }) })
        const { type, control } = await askOver(clock, channel, question, ANSWER_MS)
        const answer = answerSchema.safeParse(decodeControl(control))
        return type === PLACE.answer && answer.success ? answer.data : undefined
      } finally {
        await channel.close().catch(() => undefined)
      }
    } catch {
      return undefined
    } finally {
      cancel()
    }
  }
}
