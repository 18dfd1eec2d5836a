/** A share of the virtual clients in a thread of its own, as this one sees it. */
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { ForwardedError, UnexpectedError } from '../../errors.ts'
import type { ErrorData } from '../../errors.ts'
import { DATA_ERRORS } from '../../data/index.ts'
import { AUTODIFF_ERRORS, LOOP_ERRORS } from '../../training/index.ts'
import { Inbox } from '../../util/index.ts'
import { FEDERATED_ERRORS } from '../errors.ts'
import { FED_PLAN_ERRORS } from '../plan/errors.ts'
import type { Contribution } from '../rounds/layout.ts'
import type { VirtualInit } from './virtual-clients.ts'

export type ShareMessage =
  | { readonly round: number; readonly state: Uint8Array; readonly clients: readonly number[] }
  | { readonly commit: readonly number[] }
  | { readonly end: true }

export type ShareAnswer =
  | { readonly records: readonly number[] }
  | { readonly contributions: Contribution[] }
  | { readonly error: ErrorData }

const KNOWN = new Map(
  [...DATA_ERRORS, ...LOOP_ERRORS, ...AUTODIFF_ERRORS, ...FEDERATED_ERRORS, ...FED_PLAN_ERRORS].map((info) => [
    info.code,
    info,
  ]),
)

export class ThreadShare {
  readonly from: number
  readonly to: number
  readonly #worker: Worker
  readonly #answers = new Inbox<ShareAnswer>()
  readonly #ended: Promise<void>

  constructor(init: VirtualInit) {
    this.from = init.from
    this.to = init.to
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
    this.#worker = new Worker(fileURLToPath(new URL(`./client-thread.${extension}`, import.meta.url)), {
      workerData: init,
    })
    this.#worker.on('message', (message: ShareAnswer) => this.#answers.push(message))
    this.#worker.on('error', (error: Error) => this.#answers.fail(error))
    this.#ended = new Promise((resolve) =>
      this.#worker.once('exit', () => {
        this.#answers.fail(new UnexpectedError('a thread with virtual clients has ended'))
        resolve()
      }),
    )
  }

  /** Records of its clients, once they are there. @throws what opening them throws */
  async records(): Promise<readonly number[]> {
    const answer = await this.#answer()
    return 'records' in answer ? answer.records : []
  }

  /** @param clients of the share, counted from its first. @throws what training throws */
  async prepare(round: number, state: Uint8Array, clients: readonly number[]): Promise<Contribution[]> {
    if (clients.length === 0) return []
    this.#post({ round, state, clients })
    const answer = await this.#answer()
    return 'contributions' in answer ? answer.contributions : []
  }

  commit(clients: readonly number[]): void {
    if (clients.length > 0) this.#post({ commit: clients })
  }

  /** Asked, since the whole process ends badly where a thread is ended that computes. */
  end(): Promise<void> {
    this.#post({ end: true })
    return this.#ended
  }

  #post(message: ShareMessage): void {
    this.#worker.postMessage(message, [])
  }

  async #answer(): Promise<ShareAnswer> {
    const answer = await this.#answers.take()
    if (!('error' in answer)) return answer
    const info = KNOWN.get(answer.error.code)
    throw info === undefined ? new UnexpectedError(answer.error.message) : new ForwardedError(info, answer.error)
  }
}
