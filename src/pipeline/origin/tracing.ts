/** What an origin notes of a session's steps, and asks of its hops when it is over. */
import type { Frame } from '../../net/index.ts'
import type { Clock } from '../../util/index.ts'
import type { RingService } from '../ring/service.ts'
import { Spans } from '../ring/spans.ts'
import { assembleTrace } from './trace.ts'
import type { SessionTrace } from './trace.ts'

export interface TracingInit {
  readonly clock: Clock
  /** Positions of the prompt. */
  readonly prompt: number
  /** Undefined: nobody wants to know. */
  readonly traced: ((trace: SessionTrace) => void) | undefined
}

export class Tracing {
  readonly #init: TracingInit
  readonly #spans = new Spans()
  #over = false

  constructor(init: TracingInit) {
    this.#init = init
  }

  sent(message: Frame): void {
    this.#spans.came({ ...message, micros: 0, waited: 0 }, this.#init.clock.now())
  }

  /** A token, or that rows were taken in. */
  came(message: Frame): void {
    this.#spans.went(message, this.#init.clock.now())
  }

  /** What is told of it with the close of the session; the hops answer to `ring`. */
  end(
    ring: Pick<RingService, 'traces'>,
    {
      request,
      attempt,
      route,
    }: { request: number; attempt: number; route: Parameters<typeof assembleTrace>[0]['route'] },
  ): { readonly trace?: true } {
    const { traced, prompt } = this.#init
    const own = this.#spans.all()
    if (this.#over || traced === undefined || own.length === 0) return {}
    this.#over = true
    const { dropped } = this.#spans
    const answers = ring.traces.expect(
      request,
      attempt,
      route.map(({ peer }) => peer),
    )
    void answers.then((hops) => traced(assembleTrace({ prompt, route, own, dropped, hops })))
    return { trace: true }
  }
}
