/** Collects the events of an answer into `weft.completion/1`. */
import type { GenerateEvent, GenerateStats, RouteHop, TokenLogprob } from '../pipeline/index.ts'

export interface CompletionDocument {
  readonly schema: 'weft.completion/1'
  readonly model: string
  readonly text: string
  readonly prompt_ids: readonly number[]
  readonly ids: readonly number[]
  readonly finish: 'stop' | 'length'
  /** One list a token, the likeliest first; null where none were asked for. */
  readonly logprobs: readonly (readonly TokenLogprob[])[] | null
  /** The last, where stages were replaced on the way. */
  readonly route: readonly RouteHop[]
  readonly stats: GenerateStats & {
    /** By which `weft trace` knows the answer. */
    readonly request: string | null
  }
}

export interface AnswerCollector {
  add(event: GenerateEvent): void
  /** Undefined until the answer has ended. */
  document(): CompletionDocument | undefined
}

export function collectAnswer(model: string, logprobs: boolean): AnswerCollector {
  let start: Extract<GenerateEvent, { type: 'start' }> | undefined
  let end: Extract<GenerateEvent, { type: 'end' }> | undefined
  let route: readonly RouteHop[] = []
  const lists: TokenLogprob[][] = []
  return {
    add(event) {
      if (event.type === 'start' || event.type === 'reroute') route = event.route
      if (event.type === 'start') start = event
      else if (event.type === 'end') end = event
      else if (event.type === 'token' && logprobs) lists.push(logprobsOf(event))
    },
    document() {
      if (end === undefined) return undefined
      const { text, ids, finish, stats } = end
      const head = {
        schema: 'weft.completion/1',
        model,
        text,
        prompt_ids: start?.prompt_ids ?? [],
        ids,
        finish,
      } as const
      return { ...head, logprobs: logprobs ? lists : null, route, stats: { ...stats, request: start?.request ?? null } }
    },
  }
}

/** The alternatives, and the chosen token after them where sampling went beyond them. */
function logprobsOf(event: Extract<GenerateEvent, { type: 'token' }>): TokenLogprob[] {
  const top = (event.top ?? []).map(({ id, logprob }) => ({ id, logprob }))
  if (event.logprob === undefined || top.some((entry) => entry.id === event.id)) return top
  return [...top, { id: event.id, logprob: event.logprob }]
}
