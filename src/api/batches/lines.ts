/** The input of a batch: a JSON object a line, each a request of its own. */
import { z } from 'zod'
import type { BatchEndpoint, BatchProblem } from '../../peer/index.ts'
import { parseJsonBody } from '../json-body.ts'

/** As OpenAI has it. */
export const MAX_LINES = 50_000
/** Of those that are told; what is wrong in one line is often wrong in all. */
const MAX_PROBLEMS = 20
const LINE_FEED = 0x0a
/** Parsed in some milliseconds; then others have their turn. */
const PIECE_BYTES = 256 << 10

export interface BatchLine {
  /** Of the input, from 0; empty lines count. */
  readonly line: number
  readonly customId: string
  readonly body: Readonly<Record<string, unknown>>
}

const lineSchema = z.object({
  custom_id: z.string().min(1).max(512),
  method: z.literal('POST'),
  url: z.string(),
  body: z.record(z.string(), z.unknown()),
})

export interface LineLimits {
  /** Of one line. */
  readonly bytes: number
  readonly depth: number
}

/** Lines without their line feeds; a last one may lack it. */
function* linesOf(content: Uint8Array): Generator<Uint8Array> {
  let from = 0
  while (from < content.length) {
    const found = content.indexOf(LINE_FEED, from)
    const to = found < 0 ? content.length : found
    yield content.subarray(from, to)
    from = to + 1
  }
}

/** What is wrong is told by line; then nothing of it is computed. Piece by piece: the largest file takes a second. */
export async function parseLines(
  content: Uint8Array,
  endpoint: BatchEndpoint,
  limits: LineLimits,
): Promise<{ readonly lines: readonly BatchLine[]; readonly problems: readonly BatchProblem[] }> {
  const lines: BatchLine[] = []
  const problems: BatchProblem[] = []
  const seen = new Set<string>()
  let number = 0
  let sincePause = 0
  for (const bytes of linesOf(content)) {
    sincePause += bytes.length + 1
    if (sincePause >= PIECE_BYTES) {
      sincePause = 0
      await new Promise(setImmediate)
    }
    const line = number++
    if (isBlank(bytes)) continue
    const parsed =
      lines.length >= MAX_LINES ? `a batch has ${MAX_LINES} requests at most` : parse(bytes, endpoint, limits)
    const why =
      typeof parsed === 'string' ? parsed : seen.has(parsed.custom_id) ? 'the custom_id stood before' : undefined
    if (why !== undefined) {
      problems.push({ code: 'invalid_line', message: why, line: line + 1 })
      if (problems.length >= MAX_PROBLEMS) break
      continue
    }
    const { custom_id: customId, body } = parsed as z.output<typeof lineSchema>
    seen.add(customId)
    lines.push({ line, customId, body })
  }
  if (lines.length === 0 && problems.length === 0)
    problems.push({ code: 'empty_file', message: 'the file has no requests', line: null })
  return { lines, problems }
}

function isBlank(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0x20 || byte === 0x0d || byte === 0x09)
}

/** Text: why it is no request of a batch. */
function parse(bytes: Uint8Array, endpoint: BatchEndpoint, limits: LineLimits): z.output<typeof lineSchema> | string {
  if (bytes.length > limits.bytes) return `it has more than ${limits.bytes} bytes`
  let value: unknown
  try {
    value = parseJsonBody(bytes, limits.depth)
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
  const result = lineSchema.safeParse(value)
  if (!result.success) {
    const [issue] = result.error.issues
    return `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'it is no request'}`
  }
  const { data } = result
  if (data.url !== endpoint) return `url: the batch is for ${endpoint}`
  if (data.body['stream'] === true) return 'body.stream: nobody reads the stream of a batch'
  return data
}
