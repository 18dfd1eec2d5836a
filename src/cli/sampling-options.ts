/** The flags of a generation as the pipeline wants them. */
import { readFile } from 'node:fs/promises'
import { checkedSchema, GREEDY } from '../pipeline/index.ts'
import type { AuditMode, GenerateRequest, Lane, SamplingOptions, SpeculateMode } from '../pipeline/index.ts'
import type { CommandContext, Flags } from './context.ts'
import { parseJsonText } from '../util/index.ts'
import { BadValueError, FileUnreadableError } from './errors.ts'

/** For people who give no flag: varied, but seldom off the track. `repeatPenalty` 1 leaves greedy answers exact. */
const DEFAULTS = { temperature: 0.7, topK: 40, topP: 0.95 } as const

/** `--audit` and `--audit-rate`; of `weft up` they are for requests that do not say. */
export function auditOf(flags: Flags): Pick<GenerateRequest, 'audit' | 'auditRate'> {
  const [audit, auditRate] = [flags.text('audit') as AuditMode | undefined, flags.number('audit-rate')]
  return { ...(audit === undefined ? {} : { audit }), ...(auditRate === undefined ? {} : { auditRate }) }
}

/** `--schema FILE|json`. @throws FileUnreadableError, BadValueError, AnswerFormatError */
export async function formatOf(flags: Flags): Promise<Pick<GenerateRequest, 'format'>> {
  const asked = flags.text('schema')
  if (asked === undefined) return {}
  if (asked === 'json') return { format: { kind: 'json' } }
  const written = await readFile(asked, 'utf8').catch((error: unknown) => {
    throw new FileUnreadableError(asked, error)
  })
  let schema: unknown
  try {
    schema = parseJsonText(written)
  } catch (error) {
    throw new BadValueError('--schema', asked, `a file of JSON: ${error instanceof Error ? error.message : ''}`)
  }
  return { format: { kind: 'schema', text: checkedSchema(schema) } }
}

/** `--lane`. */
export function laneOf(flags: Flags): Pick<GenerateRequest, 'lane'> {
  const lane = flags.text('lane') as Lane | undefined
  return lane === undefined ? {} : { lane }
}

/** `--speculate` and `--draft`. */
export function speculateOf(flags: Flags): Pick<GenerateRequest, 'draft' | 'speculate'> {
  const [speculate, draft] = [flags.text('speculate') as SpeculateMode | undefined, flags.text('draft')]
  return { ...(speculate === undefined ? {} : { speculate }), ...(draft === undefined ? {} : { draft }) }
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
