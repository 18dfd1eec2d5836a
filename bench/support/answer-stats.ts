/** What an answer took that no cache has seen, without guesses and of a stated length: as benches ask for it. */
import type { PeerAccess } from '../../src/cli/peer-access.ts'
import { GREEDY } from '../../src/pipeline/index.ts'
import type { GenerateStats, PlacementFile } from '../../src/pipeline/index.ts'
import { freshPrompt } from './fresh-prompt.ts'

export interface Asked {
  readonly model?: string
  readonly placement: 'local' | PlacementFile
  /** Of the prompt. */
  readonly rows: number
  readonly tokens: number
}

const DEADLINE_MS = 600_000

export async function answerStats(
  access: Pick<PeerAccess, 'generate'>,
  { model = 'bench', placement, rows, tokens }: Asked,
): Promise<GenerateStats> {
  const input = { kind: 'ids', ids: freshPrompt(rows) } as const
  const request = { model, sampling: GREEDY, ignoreEnd: true, placement, speculate: 'off', input } as const
  for await (const event of access.generate({ ...request, maxTokens: tokens, deadline: DEADLINE_MS })) {
    if (event.type === 'end') return event.stats
  }
  throw new Error('the answer has no end')
}

/** Tokens a second. */
export interface Speed {
  readonly decode: number
  readonly prefill: number
}

/** Of one run with a prompt of few rows, which decodes, and one with a long prompt. The first of its tokens belongs to the prompt. */
export async function answerSpeed(
  access: Pick<PeerAccess, 'generate'>,
  asked: Omit<Asked, 'rows'> & { readonly short: number; readonly prompt: number },
): Promise<Speed> {
  const { short, prompt, ...of } = asked
  const decode = await answerStats(access, { ...of, rows: short, tokens: of.tokens + 1 })
  const { prefill_tokens: fed, prefill_ms: ms } = await answerStats(access, { ...of, rows: prompt, tokens: 1 })
  return { decode: decode.tokens_per_second, prefill: (fed * 1000) / ms }
}
