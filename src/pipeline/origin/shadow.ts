/**
 * A hop beside a session: it is opened under a number of its own, fed what the predecessor kept, and computes the same rows.
 * It is a hop's replacement while that still serves, taken into the session by a reroute when it has caught up; or it
 * computes again what somebody else has sent, for an audit.
 */
import { encodeControl, frame } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
import { onAbort } from '../../util/index.ts'
import { PeerLostError } from '../ring/errors.ts'
import type { OriginListener } from '../ring/origins.ts'
import { RING } from '../ring/protocol.ts'
import type { decodeToken, RouteOpen } from '../ring/protocol.ts'
import { Accounts } from './accounts.ts'
import type { FirstHop } from './first-hop.ts'
import { openingOf } from './opening.ts'
import type { RouteSegment } from './route.ts'
import type { SessionInit, SessionNeeds } from './session.ts'
import { requestNumber } from './token-frames.ts'

/** Fetching and packing a part of a model, and computing a prompt. */
const SHADOW_DEADLINE_MS = 60_000
/** So near is near enough: the rest costs a step or two. */
const NEAR_ROWS = 2
/** What comes while the last was fed gets less each time, unless the replacement is slower than the session. */
const ROUNDS = 6

/** The session that it follows. */
export interface Followed {
  readonly request: number
  readonly attempt: number
  readonly first: FirstHop
  readonly signal: AbortSignal
}

export interface Shadow {
  /** Under which its hop knows it. */
  readonly request: number
  /** Of its stage host. */
  readonly pid: number
  close(): void
}

/**
 * A replacement that has caught up.
 * @param route with the replacement at `place`
 * @throws what the peer refuses with, PeerLostError
 */
export async function openShadow(
  needs: SessionNeeds,
  init: SessionInit,
  followed: Followed & { readonly guessKey: Uint8Array<ArrayBuffer> | undefined },
  route: readonly RouteSegment[],
  place: number,
): Promise<Shadow> {
  const shadow = new ShadowHop(needs, followed, route, place)
  try {
    await shadow.open(openingOf(init, route, place, [], { guessKey: followed.guessKey }))
    for (let round = 0; round < ROUNDS && followed.first.sure - shadow.fed > NEAR_ROWS; round++)
      await shadow.feed(followed.first.sure)
    return { request: shadow.request, pid: shadow.pid, close: () => shadow.close() }
  } catch (error) {
    shadow.close()
    throw error
  } finally {
    shadow.forget()
  }
}

export interface ShadowToken {
  readonly id: number
  readonly message: Frame
  readonly control: ReturnType<typeof decodeToken>
}

export class ShadowHop {
  readonly request: number
  readonly peer: string
  readonly accounts: Accounts
  /** By the row that each follows. */
  readonly tokens = new Map<number, ShadowToken>()
  readonly #needs: SessionNeeds
  readonly #followed: Followed
  readonly #route: readonly RouteSegment[]
  readonly #place: number
  readonly #progress = new Progress()
  readonly #undo: (() => void)[] = []
  fed = 0
  /** Of its stage host; 0 until it is open. */
  pid = 0

  constructor(needs: SessionNeeds, followed: Followed, route: readonly RouteSegment[], place: number) {
    this.#needs = needs
    this.#followed = followed
    this.#route = route
    this.#place = place
    this.peer = route[place]!.peer
    this.request = requestNumber(needs.random)
    this.accounts = new Accounts(needs)
    this.#undo.push(
      onAbort(followed.signal, (reason) => this.#fail(reason)),
      needs.watch(this.peer),
    )
  }

  /** @throws what the peer refuses with, PeerLostError */
  async open(opening: RouteOpen): Promise<void> {
    this.#undo.push(this.#needs.ring.listen(this.request, opening.digest, this.#listener()))
    const control = encodeControl({ ...opening, shadow: true })
    const { request } = this
    await this.#needs.ring.send(this.peer, frame({ type: RING.open, request, hop: this.#place, control }))
    await this.#reaches(0)
  }

  /** Rows up to `to` are computed when it resolves. @param tokensFrom the first row whose token is wanted */
  async feed(to: number, tokensFrom?: number): Promise<void> {
    const [from, place] = [this.fed, this.#place]
    if (to <= from) return
    const target = { peer: this.peer, place, request: this.request, from, to }
    const wanted = tokensFrom === undefined ? target : { ...target, tokensFrom }
    this.fed = to
    if (place === 0) {
      await this.#followed.first.giveShadow(wanted, (message) => this.#needs.ring.send(this.peer, message))
    } else {
      const { request, attempt } = this.#followed
      const hop = place - 1
      const message = frame({ type: RING.feed, request, attempt, hop, control: encodeControl(wanted) })
      await this.#needs.ring.send(this.#route[hop]!.peer, message)
    }
    await this.#reaches(to)
  }

  /** Nothing that it says is heard any more. */
  forget(): void {
    for (const action of this.#undo.splice(0)) action()
  }

  close(): void {
    this.forget()
    this.#followed.first.forget(this.request)
    this.#fail(new PeerLostError(this.peer, 'it was closed'))
    this.#needs.ring.send(this.peer, frame({ type: RING.close, request: this.request })).catch(() => undefined)
  }

  async #reaches(rows: number): Promise<void> {
    const late = (): void => this.#fail(new PeerLostError(this.peer, 'it does not catch up'))
    const cancel = this.#needs.clock.after(SHADOW_DEADLINE_MS, late)
    await this.#progress.reaches(rows).finally(cancel)
  }

  #fail(error: Error): void {
    this.#progress.fail(error)
    this.accounts.fail(error)
  }

  #listener(): OriginListener {
    const nothing = (): void => undefined
    const [answering, peers] = [this.#place, new Set([this.peer])]
    return {
      attempt: 0,
      route: { peers, answering, peerAt: (hop) => (hop === answering ? this.peer : undefined) },
      opened: (_hop, pid) => {
        this.pid = pid
        this.#progress.at(0)
      },
      taken: (message) => this.#progress.at(message.position + message.rows),
      token: (message, control) => {
        const row = message.position + message.rows - 1
        const id = new DataView(message.payload.buffer, message.payload.byteOffset).getInt32(0, true)
        this.tokens.set(row, { id, message, control })
        this.#progress.at(row + 1)
      },
      accounted: (message, account) => this.accounts.answered(message, account),
      failed: (_hop, error) => this.#fail(error),
      lost: (_peer, why) => this.#fail(new PeerLostError(this.peer, why)),
      leaving: () => this.#fail(new PeerLostError(this.peer, 'it is about to leave')),
      broken: (_hop, peer, why) => this.#fail(new PeerLostError(peer, why)),
      rerouted: nothing,
    }
  }
}

/** Rows that the shadow has computed; -1 until it is open. */
class Progress {
  #rows = -1
  #error: Error | undefined
  #wake: () => void = () => undefined

  at(rows: number): void {
    this.#rows = Math.max(this.#rows, rows)
    this.#wake()
  }

  fail(error: Error): void {
    this.#error ??= error
    this.#wake()
  }

  async reaches(rows: number): Promise<void> {
    while (this.#error === undefined && this.#rows < rows) await new Promise<void>((resolve) => (this.#wake = resolve))
    if (this.#error !== undefined) throw this.#error
  }
}
