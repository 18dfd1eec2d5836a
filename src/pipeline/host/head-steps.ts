/** What a head makes of rows that have been through all layers: tokens behind those that ask for one, and word of the others. */
import { DTYPE, encodeControl } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
import type { ModelManifest } from '../../models/index.ts'
import type { Clock } from '../../util/index.ts'
import type { BlockMeter } from './block-times.ts'
import { askedRows, chosenTokens, isVoid, tokenControl } from './choosing.ts'
import { rowBytesOf } from './jobs.ts'
import type { Job } from './jobs.ts'
import type { HeadPart } from './parts.ts'
import { HOST, RUN } from './protocol.ts'

export interface HeadStepsNeeds {
  readonly clock: Clock
  readonly manifest: ModelManifest
  readonly meter: Pick<BlockMeter, 'projected'>
  answer(job: Job, what: Partial<Frame> & Pick<Frame, 'type'>): void
  fail(job: Job, error: unknown): void
}

export class HeadSteps {
  readonly #needs: HeadStepsNeeds

  constructor(needs: HeadStepsNeeds) {
    this.#needs = needs
  }

  async finish(head: HeadPart, jobs: readonly Job[]): Promise<void> {
    const wanted = jobs.filter((job) => (job.frame.flags & RUN.token) !== 0 && !isVoid(job))
    const logits = wanted.length === 0 ? [] : await this.#project(head, wanted)
    for (const job of jobs) {
      if (job.session.closed) continue
      const index = wanted.indexOf(job)
      if (index >= 0) await this.#emitTokens(job, logits[index]!)
      else this.#needs.answer(job, { type: job.behind === undefined ? HOST.taken : HOST.void })
    }
  }

  /** Logits of the rows of each job that a token is wanted of. */
  async #project(head: HeadPart, jobs: readonly Job[]): Promise<Float32Array[][]> {
    const { clock, meter } = this.#needs
    const started = clock.now()
    const rowBytes = rowBytesOf(this.#needs.manifest)
    const rows = jobs.map((job) => askedRows(job, rowBytes))
    const logits = await head.stage.run(rows.flat())
    const spent = clock.now() - started
    meter.projected(logits.length, spent)
    for (const job of jobs) job.micros += Math.round(spent * 1000)
    let at = 0
    return rows.map(({ length }) => logits.slice(at, (at += length)))
  }

  async #emitTokens(job: Job, logits: readonly Float32Array[]): Promise<void> {
    try {
      const tokens = await chosenTokens(job, logits)
      if (tokens === undefined) return
      this.#needs.answer(job, {
        type: HOST.token,
        dtype: DTYPE.i32,
        dims: [tokens.length],
        payload: new Uint8Array(Int32Array.from(tokens, ({ id }) => id).buffer),
        control: encodeControl(tokenControl(job, tokens)),
      })
    } catch (error) {
      this.#needs.fail(job, error)
    }
  }
}
