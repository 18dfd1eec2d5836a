/** The sampling flags as the pipeline wants them. */
import { GREEDY } from '../pipeline/index.ts'
import type { SamplingOptions } from '../pipeline/index.ts'
import type { CommandContext } from './context.ts'

/** For people who give no flag: varied, but seldom off the track. `repeatPenalty` 1 leaves greedy answers exact. */
const DEFAULTS = { temperature: 0.7, topK: 40, topP: 0.95 } as const

export function samplingOf({ flags, io }: Pick<CommandContext, 'flags' | 'io'>): SamplingOptions {
  return {
    ...GREEDY,
    temperature: flags.number('temperature') ?? DEFAULTS.temperature,
    topK: flags.number('top-k') ?? DEFAULTS.topK,
    topP: flags.number('top-p') ?? DEFAULTS.topP,
    minP: flags.number('min-p') ?? 0,
    repetitionPenalty: flags.number('repeat-penalty') ?? 1,
    seed: flags.number('seed') ?? new DataView(io.random.bytes(4).buffer).getUint32(0),
  }
}
