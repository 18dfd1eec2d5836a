/** What a caller asks of the pipeline and what it gets back: plain data, the same in the library, CLI and API. */

import type { ChatMessage, Tool } from '../models/index.ts'

export type { ChatMessage, Tool, ToolCall } from '../models/index.ts'

/** Stages as a person writes them; blocks [from, to) in order, covering all. */
export interface PlacementFile {
  readonly model: string
  readonly stages: readonly PlacementStage[]
  /** Blocks that more peers hold ready, for when one of `stages` is lost: any ranges. @default none */
  readonly replicas?: readonly PlacementStage[]
}

export interface PlacementStage {
  /** A PeerId, or `origin`: whichever peer takes the request. */
  readonly peer: string
  readonly from: number
  readonly to: number
}

export interface SamplingOptions {
  /** 0 is greedy. */
  readonly temperature: number
  /** 0 keeps all. */
  readonly topK: number
  /** 1 keeps all. */
  readonly topP: number
  readonly minP: number
  /** 1 is none: divides positive and multiplies negative logits of tokens that were seen. */
  readonly repetitionPenalty: number
  readonly presencePenalty: number
  readonly frequencyPenalty: number
  readonly seed: number
  /** Added to the logits of these tokens. @default none */
  readonly logitBias?: readonly (readonly [id: number, bias: number])[] | undefined
}

/**
 * What an answer must look like; the tokens that would leave it are not chosen. `schema`: one value that a JSON Schema
 * allows, as checkedSchema writes it. `calls`: text in which each `<tool_call>` is one of these (CallsFormat, as JSON).
 */
export type AnswerFormat =
  | { readonly kind: 'json' }
  | { readonly kind: 'schema'; readonly text: string }
  | { readonly kind: 'calls'; readonly text: string }

export const GREEDY: Omit<SamplingOptions, 'logitBias'> = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  seed: 0,
}

export type PromptInput =
  /** Raw text without chat template. `special`: text of special tokens is parsed as control. */
  | { readonly kind: 'text'; readonly text: string; readonly special?: boolean }
  | { readonly kind: 'ids'; readonly ids: readonly number[] }
  | { readonly kind: 'chat'; readonly messages: readonly ChatMessage[]; readonly tools?: readonly Tool[] }

/**
 * Whether what other peers compute is computed again, by a third one or here. `hold`: no token is given before what it came
 * from was.
 */
export type AuditMode = 'off' | 'sample' | 'hold'

/**
 * Whether tokens are guessed, and several checked in one step; the text is the same. `lookup`: out of the text so far, wherever
 * it was before. `draft`: by a small model here, also where it loses. `auto`: both, as long as it is not slower.
 */
export type SpeculateMode = 'auto' | 'off' | 'lookup' | 'draft'

/** `batch`: work that nobody waits for. Its rows run where those of others leave room; the text is the same. */
export type Lane = 'interactive' | 'batch'

/** Who comes first to room that becomes free at this peer, of those that wait for it. */
export type Priority = 'high' | 'normal' | 'low'

export interface GenerateRequest {
  readonly model: string
  readonly input: PromptInput
  readonly sampling: SamplingOptions
  /** @default 'interactive' */
  readonly lane?: Lane
  /** Of the batch lane it counts for nothing: that comes last. @default 'normal' */
  readonly priority?: Priority
  /** @default any text */
  readonly format?: AnswerFormat
  /** Undefined: until the model stops or the context is full. */
  readonly maxTokens?: number
  readonly stop?: readonly string[]
  /** Alternatives reported for each token; undefined: none, 0: the chosen one alone. */
  readonly logprobs?: number
  /**
   * Tokens of the prompt are told too, before those of the answer, each but the first with what `logprobs` asks for. Then
   * `maxTokens` may be 0. @default false
   */
  readonly echo?: boolean
  readonly placement?: 'auto' | 'local' | PlacementFile
  /** Milliseconds from now. */
  readonly deadline?: number
  /** @default the peer's own: `off` unless it was told otherwise */
  readonly audit?: AuditMode
  /** Of `sample`: chance of a row of a stage that a check follows it, 0 to 1. @default the peer's own, 0.05 */
  readonly auditRate?: number
  /** @default 'auto' */
  readonly speculate?: SpeculateMode
  /** A model of the same vocabulary on this peer, that guesses. @default where the answer is computed elsewhere, one that is here */
  readonly draft?: string
  /** End-of-sequence tokens do not stop the text (benchmarks). */
  readonly ignoreEnd?: boolean
}

export interface RouteHop {
  readonly peer: string
  /** Process that computes it: the stage host. */
  readonly pid: number
  readonly from: number
  readonly to: number
}

export interface TokenLogprob {
  readonly id: number
  readonly logprob: number
}

export interface GenerateStats {
  readonly prefill_tokens: number
  /** Of these, those whose rows all stages had of an earlier text: nobody computed them. */
  readonly cached_tokens: number
  readonly decode_tokens: number
  readonly prefill_ms: number
  readonly decode_ms: number
  readonly time_to_first_token_ms: number
  readonly ms_per_token_p50: number
  readonly tokens_per_second: number
  /** Time of a step that no stage computed in, divided by the hops: wire and queues. */
  readonly hop_ms_p50: number
  readonly counters: Readonly<Record<string, number>>
}

export type GenerateEvent =
  | {
      readonly type: 'start'
      /** By which the peer that took the request lists and traces it. */
      readonly request?: string
      readonly prompt_ids: readonly number[]
      readonly route: readonly RouteHop[]
    }
  /** Rows of the prompt that the last stage has seen. */
  | { readonly type: 'prefill'; readonly done: number; readonly total: number }
  /**
   * Stages were replaced in mid-answer, and the text goes on where it stopped. `exact`: the replacements have the kernels of
   * the lost, so it is the text that would have come without.
   */
  | {
      readonly type: 'reroute'
      readonly attempt: number
      readonly lost: readonly string[]
      readonly route: readonly RouteHop[]
      readonly replayed_rows: number
      readonly exact: boolean
    }
  /**
   * What a stage sent was found to be wrong (`lie`), or nobody could decide whether it is (`disputed`): the answer goes on
   * without that peer. `position`: the first wrong row; `affected`: tokens given before that came of such rows.
   */
  | {
      readonly type: 'audit'
      readonly verdict: 'lie' | 'disputed'
      readonly peer: string
      readonly from: number
      readonly to: number
      readonly position: number
      readonly affected: number
      readonly why: string
    }
  /** A stage was lost and nobody can take its blocks now; the answer goes on by itself if somebody comes in time. */
  | { readonly type: 'waiting'; readonly code: string; readonly message: string }
  /** `text` may be empty while a character or a possible stop string is incomplete. */
  | {
      readonly type: 'token'
      readonly id: number
      readonly text: string
      readonly logprob?: number
      readonly top?: readonly TokenLogprob[]
      /** It is one of the prompt's. */
      readonly echoed?: true
    }
  /** `text` and `ids` are the answer's alone. */
  | {
      readonly type: 'end'
      readonly finish: 'stop' | 'length'
      readonly text: string
      readonly ids: readonly number[]
      readonly stats: GenerateStats
    }
