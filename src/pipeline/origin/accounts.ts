/** Questions of an origin to hops of an audited session: what came in, went out, or was signed of which rows. */
import { encodeControl, frame } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
import { PeerLostError } from '../ring/errors.ts'
import { MAX_ACCOUNT_ROWS, RING } from '../ring/protocol.ts'
import type { Account, AccountQuery } from '../ring/protocol.ts'
import type { SessionNeeds } from './session.ts'

/** What is asked for is in memory there. */
const ANSWER_MS = 5_000

export interface Asked {
  readonly peer: string
  readonly request: number
  readonly attempt: number
  /** Place in the route, and the hop's first block. */
  readonly hop: number
  readonly block: number
}

export interface Told extends Account {
  /** Hashes of 32 bytes a row, or rows. */
  readonly payload: Uint8Array
}

export class Accounts {
  readonly #needs: Pick<SessionNeeds, 'ring' | 'clock'>
  readonly #waiting = new Map<number, { readonly resolve: (told: Told) => void; readonly fail: (e: Error) => void }>()
  #next = 1

  constructor(needs: Pick<SessionNeeds, 'ring' | 'clock'>) {
    this.#needs = needs
  }

  /** @throws PeerLostError when it does not answer, or says that it does not have them */
  async ask(of: Asked, query: Omit<AccountQuery, 'block'>): Promise<Told> {
    const { peer, request, attempt, hop, block } = of
    const step = this.#next++
    const { promise, resolve, reject } = Promise.withResolvers<Told>()
    // It may fail before anybody waits for it.
    promise.catch(() => undefined)
    this.#waiting.set(step, { resolve, fail: reject })
    const late = (): void => reject(new PeerLostError(peer, 'it gives no account of rows that went over it'))
    const cancel = this.#needs.clock.after(ANSWER_MS, late)
    try {
      const control = encodeControl({ ...query, block })
      await this.#needs.ring.send(peer, frame({ type: RING.account, request, attempt, hop, step, control }))
      const told = await promise
      if (told.count === 0) throw new PeerLostError(peer, 'it has no account of rows that went over it')
      return told
    } finally {
      cancel()
      this.#waiting.delete(step)
    }
  }

  /** Hashes of rows [from, to), in questions of a bounded size. @throws as `ask` */
  async hashes(of: Asked, side: 'taken' | 'given', from: number, to: number): Promise<Uint8Array> {
    const pieces: Uint8Array[] = []
    for (let position = from; position < to; position += MAX_ACCOUNT_ROWS) {
      const count = Math.min(MAX_ACCOUNT_ROWS, to - position)
      const { payload } = await this.ask(of, { side, position, count })
      if (payload.length !== count * 32) throw new PeerLostError(of.peer, 'its account is of other rows')
      pieces.push(payload)
    }
    return Buffer.concat(pieces)
  }

  answered(message: Frame, account: Account): void {
    this.#waiting.get(message.step)?.resolve({ ...account, payload: message.payload })
  }

  fail(error: Error): void {
    for (const { fail } of this.#waiting.values()) fail(error)
  }
}
