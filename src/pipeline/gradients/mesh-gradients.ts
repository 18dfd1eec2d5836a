/**
 * The shares of a run's steps over peers, as their origin: share n goes to peer n mod peers. One that leaves, freezes or answers
 * what cannot be loses its shares of that step to those that are left, and may come back with a later step.
 */
import type { GradientLine, GradientStep, StepGradients } from '../../training/index.ts'
import { NoSharersError } from './errors.ts'
import type { GradientOpened } from './protocol.ts'
import { RemoteSession } from './remote-session.ts'
import type { RemoteInit, RemoteNeeds, ShareSum } from './remote-session.ts'

/** Between two tries to open a session at a peer that was lost. */
const AGAIN_MS = 2_000

export interface Sharer {
  readonly peer: string
  /** It has told, over all steps. */
  readonly shares: number
  /** Of its last session. */
  readonly kernel: string | null
  readonly threads: number | null
}

interface Place {
  readonly peer: string
  session: RemoteSession | undefined
  opening: RemoteSession | undefined
  /** Not before, in the clock's milliseconds. */
  again: number
  shares: number
  opened: GradientOpened | undefined
}

export interface MeshGradientsInit extends Omit<RemoteInit, 'peer'> {
  readonly peers: readonly string[]
}

export class MeshGradients implements GradientLine {
  readonly #needs: RemoteNeeds
  readonly #init: MeshGradientsInit
  readonly #places: readonly Place[]
  #isClosed = false

  constructor(needs: RemoteNeeds, init: MeshGradientsInit) {
    this.#needs = needs
    this.#init = init
    this.#places = init.peers.map((peer) => ({
      peer,
      session: undefined,
      opening: undefined,
      again: 0,
      shares: 0,
      opened: undefined,
    }))
  }

  /** Who computed how much. */
  get sharers(): readonly Sharer[] {
    return this.#places.map(({ peer, shares, opened }) => {
      return { peer, shares, kernel: opened?.kernel ?? null, threads: opened?.threads ?? null }
    })
  }

  /** All have to be there when a run begins. @throws what the first one refuses with */
  async open(signal?: AbortSignal): Promise<void> {
    await this.#during(signal, () => Promise.all(this.#places.map((place) => this.#openAt(place))))
  }

  async step(step: GradientStep, signal?: AbortSignal): Promise<StepGradients> {
    return this.#during(signal, async () => {
      for (const place of this.#places) this.#comeBack(place)
      const sums: (ShareSum | undefined)[] = step.shares.map(() => undefined)
      const begun = new Set<RemoteSession>()
      let left = [...step.shares.keys()]
      let places: readonly (Place | undefined)[] = left.map((share) => this.#places[share % this.#places.length])
      for (let attempt = 0; ; attempt++) {
        await this.#deal(step, left, places, begun, sums)
        signal?.throwIfAborted()
        left = left.filter((share) => sums[share] === undefined)
        if (left.length === 0) break
        this.#needs.count('shares_recomputed', left.length)
        const able = this.#places.filter(({ session }) => isOpen(session))
        if (able.length === 0) throw this.#nobody()
        places = left.map((_, at) => able[at % able.length])
      }
      const rests = step.whole && this.#init.open.gradients === 'int8' ? await this.#rests(step, begun) : []
      const all = sums as ShareSum[]
      return {
        losses: all.map(({ losses }) => losses),
        parts: [...all.map(({ gradients }) => gradients), ...rests.map(({ gradients }) => gradients)],
      }
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#end(new Error('the run has ended'))
    await Promise.resolve()
  }

  /** Each place its shares, all places at once. @param places who gets each of those that are left */
  async #deal(
    { parameters, shares, whole }: GradientStep,
    left: readonly number[],
    places: readonly (Place | undefined)[],
    begun: Set<RemoteSession>,
    sums: (ShareSum | undefined)[],
  ): Promise<void> {
    await Promise.all(
      this.#places.map(async (place) => {
        const own = left.filter((_, at) => places[at] === place)
        const session = place.session
        if (!isOpen(session) || own.length === 0) return
        if (!begun.has(session)) session.begin(parameters)
        begun.add(session)
        const settled = await session.shares(
          own.map((share) => shares[share]!),
          whole,
        )
        for (const [at, outcome] of settled.entries()) {
          if (outcome.status === 'rejected') continue
          sums[own[at]!] = outcome.value
          place.shares++
        }
      }),
    )
  }

  /** A short step that tells all, at those that had no share of it: what was rounded away there. */
  async #rests({ parameters }: GradientStep, begun: ReadonlySet<RemoteSession>): Promise<ShareSum[]> {
    const idle = this.#places.flatMap(({ session }) => (isOpen(session) && !begun.has(session) ? [session] : []))
    for (const session of idle) session.begin(parameters)
    const told = await Promise.all(idle.map((session) => session.shares([[]], true)))
    return told.flat().flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
  }

  /** Whoever was lost, at most every two seconds; no step waits for it. */
  #comeBack(place: Place): void {
    const { session, opening, again } = place
    if (opening !== undefined || isOpen(session)) return
    if (this.#needs.clock.now() < again) return
    this.#openAt(place).then(
      () => this.#needs.count('sharers_returned'),
      () => undefined,
    )
  }

  async #openAt(place: Place): Promise<void> {
    const session = new RemoteSession(this.#needs, { ...this.#init, peer: place.peer })
    place.opening = session
    try {
      await session.open()
      if (this.#isClosed) return session.end(new Error('the run has ended'))
      place.opened = session.opened
      place.session = session
    } catch (error) {
      session.end(error as Error)
      throw error
    } finally {
      place.opening = undefined
      place.again = this.#needs.clock.now() + AGAIN_MS
    }
  }

  #nobody(): Error {
    const reasons = this.#places.map(({ peer, session }) => `${peer}: ${session?.failure?.message ?? 'it is away'}`)
    return new NoSharersError(reasons)
  }

  #end(error: Error): void {
    for (const { session, opening } of this.#places) for (const each of [session, opening]) each?.end(error)
  }

  /** A cancelled run asks nobody any more. */
  async #during<Result>(signal: AbortSignal | undefined, work: () => Promise<Result>): Promise<Result> {
    signal?.throwIfAborted()
    const abort = (): void => this.#end(signal!.reason as Error)
    signal?.addEventListener('abort', abort, { once: true })
    try {
      return await work()
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }
}

function isOpen(session: RemoteSession | undefined): session is RemoteSession {
  return session !== undefined && session.failure === undefined
}
