/** OpenAI's answer objects, as far as we fill them (openai-openapi f85dbe2). Times are seconds since 1970. */
import type { GenerateStats, RouteHop } from '../../pipeline/index.ts'
import type { TokenText } from './token-texts.ts'

export interface Usage {
  readonly prompt_tokens: number
  readonly completion_tokens: number
  readonly total_tokens: number
  /** Tokens of the prompt whose rows all stages had of an earlier text. */
  readonly prompt_tokens_details: { readonly cached_tokens: number }
}

/** Ours, beside OpenAI's fields. */
export interface Extension {
  /** Of the first choice: `/api/v1/traces/{request}` tells where its time went. */
  readonly request: string | null
  readonly route: readonly RouteHop[]
  /** Of the first choice. */
  readonly timings: GenerateStats | null
}

export interface Envelope {
  readonly id: string
  readonly object: string
  readonly created: number
  readonly model: string
  readonly system_fingerprint: string | null
}

export type ChatTokenLogprob = TokenText & { readonly top_logprobs: readonly TokenText[] }

export interface ChatLogprobs {
  readonly content: readonly ChatTokenLogprob[]
  readonly refusal: null
}

export interface CompletionLogprobs {
  readonly tokens: readonly string[]
  /** Null for the first token of a prompt. */
  readonly token_logprobs: readonly (number | null)[]
  readonly top_logprobs: readonly (Readonly<Record<string, number>> | null)[] | null
  /** Characters (UTF-16 units) before each token. */
  readonly text_offset: readonly number[]
}

export interface Counted {
  readonly promptTokens: number
  readonly cachedTokens: number
  readonly completionTokens: number
}

export function usageOf({ promptTokens, cachedTokens, completionTokens }: Counted): Usage {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
  }
}

/** `PEER[0:10],PEER[10:20]`: the stages in order. */
export function routeHeader(route: readonly RouteHop[]): string {
  return route.map((hop) => `${hop.peer.replaceAll(/[^\w.-]/g, '_')}[${hop.from}:${hop.to}]`).join(',')
}
