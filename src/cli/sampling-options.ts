/** The flags of a generation as the pipeline wants them. */
import { GREEDY } from '../pipeline/index.ts'
import type { AuditMode, GenerateRequest, SamplingOptions } from '../pipeline/index.ts'
import type { CommandContext, Flags } from './context.ts'

/** For people who give no flag: varied, but seldom off the track. `repeatPenalty` 1 leaves greedy answers exact. */
const DEFAULTS = { temperature: 0.7, topK: 40, topP: 0.95 } as const

/** `--audit` and `--audit-rate`; of `weft up` they are for requests that do not say. */
export function auditOf(flags: Flags): Pick<GenerateRequest, 'audit' | 'auditRate'> {
  const [audit, auditRate] = [flags.text('audit') as AuditMode | undefined, flags.number('audit-rate')]
  return { ...(audit === undefined ? {} : { audit }), ...(auditRate === undefined ? {} : { auditRate }) }
}

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
