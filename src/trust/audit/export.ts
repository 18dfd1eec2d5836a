/** The audit log as lines that anybody can verify who knows the peer's id; and the proof of a single entry. */
import * as z from 'zod'
import { EMPTY_CHAIN } from '../../store/index.ts'
import type { ChainHead } from '../../store/index.ts'
import { canonicalJson } from '../../util/index.ts'
import type { Identity } from '../identity.ts'
import { verify } from '../identity.ts'
import { AuditEntryMissingError, AuditFileError } from './errors.ts'
import { AUDIT_CHAIN } from './entry.ts'
import type { AuditContent, AuditLink } from './entry.ts'
import { checkAudit, EXPORT } from './verify.ts'
import type { AuditReport, AuditRow, AuditTrouble, CheckedAudit, WitnessedHead } from './verify.ts'

/** Lines of an export that is read: a year of a busy site. */
const MAX_LINES = 1_000_000
const MAX_LINE = 65_536

/** An entry for people and programs. */
export interface AuditView {
  readonly seq: number
  /** ISO 8601, UTC. */
  readonly at: string
  readonly who: string
  readonly what: string
  readonly target: string | null
  readonly result: string
  readonly rule: string | null
  readonly facts: Readonly<Record<string, string | number | boolean>>
}

export function viewOf({ seq, wall }: AuditLink, content: AuditContent): AuditView {
  const { who, what, target, result, rule, facts } = content
  const isTime = Math.abs(wall) <= 8.64e15
  return {
    seq,
    at: isTime ? new Date(wall).toISOString() : String(wall),
    who,
    what,
    target: target ?? null,
    result,
    rule: rule ?? null,
    facts: facts ?? {},
  }
}

export function viewsOf({ links, contents }: CheckedAudit): AuditView[] {
  return links.flatMap((link, index) => {
    const content = contents[index]
    return content === undefined ? [] : [viewOf(link, content)]
  })
}

const line = z.strictObject({
  body: z.string().max(MAX_LINE),
  hash: z.string(),
  signature: z.string().regex(/^(?:[0-9a-f]{128})?$/),
  content: z.string().max(MAX_LINE).nullable(),
})

const header = z.strictObject({
  schema: z.enum(['weft.audit-export/1', 'weft.audit-proof/1']),
  peer: z.string().max(128),
  at: z.number().int().min(0).max(8.64e15),
  seq: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
  hash: z.string().regex(/^[0-9a-f]{64}$/),
  signature: z.string().regex(/^[0-9a-f]{128}$/),
})

type Header = z.infer<typeof header>

/** What is signed of the first line: that the log ended here, at this time. So none of its end can be taken away. */
function statement({ schema, at, seq, hash }: Omit<Header, 'signature' | 'peer'>): Uint8Array {
  return Buffer.from(`${schema}\n${at} ${seq} ${hash}`)
}

/**
 * @param at milliseconds since 1970
 * @param only the entry that is to be proven: its text, and the links from it to the head, which show nothing of the
 * others but their times; undefined: all
 */
export function* exportLines(
  by: Pick<Identity, 'id' | 'sign'>,
  at: number,
  rows: readonly AuditRow[],
  only?: number,
): Iterable<string> {
  if (only !== undefined && rows[only - 1] === undefined) throw new AuditEntryMissingError(only, rows.length)
  const schema = only === undefined ? 'weft.audit-export/1' : 'weft.audit-proof/1'
  const { seq: last, hash: ending } = rows.at(-1) ?? EMPTY_CHAIN
  const told = { schema, at, seq: Number(last), hash: String(ending) } as const
  yield canonicalJson({ ...told, peer: by.id, signature: Buffer.from(by.sign(statement(told))).toString('hex') })
  for (const { seq, body, hash, signature, content } of only === undefined ? rows : rows.slice(only - 1)) {
    const hex = signature instanceof Uint8Array ? Buffer.from(signature).toString('hex') : ''
    yield canonicalJson({ body, hash, signature: hex, content: only === undefined || seq === only ? content : null })
  }
}

export interface CheckedExport {
  readonly kind: 'export' | 'proof'
  readonly report: AuditReport
  /** All of an export; of a proof the one that is proven. */
  readonly entries: readonly AuditView[]
}

/** @throws AuditFileError */
export function checkExport(text: string, known: readonly WitnessedHead[]): CheckedExport {
  const lines = text.split('\n').filter((each) => each !== '')
  if (lines.length > MAX_LINES) throw new AuditFileError(`it has more than ${MAX_LINES} lines`)
  const first = parsed(header, lines[0], 1)
  const { schema, peer } = first
  const isProof = schema === 'weft.audit-proof/1'
  const read = lines.slice(1).map((each, index) => parsed(line, each, index + 2))
  const before = isProof ? beginning(read[0]?.body) : EMPTY_CHAIN
  const last = before.seq + read.length
  const rows = read.map(({ body, hash, signature, content }, index): AuditRow => {
    const row = { seq: before.seq + index + 1, body, hash, signature: new Uint8Array(Buffer.from(signature, 'hex')) }
    return isProof && index > 0 ? row : { ...row, content }
  })
  // A proof says nothing of what was before it, nor of what came after it was made.
  const inside = ({ seq }: WitnessedHead): boolean => seq > before.seq && seq <= last
  const signed = { seq: first.seq, hash: first.hash, by: EXPORT }
  const heads = [signed, ...(isProof ? known.filter(inside) : known)]
  const checked = checkAudit(peer, rows, heads, { before, first: endTrouble(first, last) })
  const exported = new Date(first.at).toISOString()
  const report = {
    ...checked.report,
    exported,
    unsigned: checked.report.trouble === null ? 0 : checked.report.unsigned,
  }
  return { kind: isProof ? 'proof' : 'export', report, entries: viewsOf(checked) }
}

/** The first line must be signed, and name the last of those that follow. */
function endTrouble(first: Header, last: number): AuditTrouble | undefined {
  if (!verify(first.peer, statement(first), new Uint8Array(Buffer.from(first.signature, 'hex'))))
    return { entry: Math.min(first.seq, last), why: 'its first line is not signed by this site' }
  if (last > first.seq) return { entry: first.seq + 1, why: 'no signature covers it' }
  return undefined
}

/** The head behind which a proof begins, as its first entry names it: what is signed covers that name. */
function beginning(body: string | undefined): ChainHead {
  try {
    const link = AUDIT_CHAIN.check(JSON.parse(body ?? ''))
    if (link !== undefined) return { seq: link.seq - 1, hash: link.previous }
  } catch {
    // Said below.
  }
  throw new AuditFileError('its first entry is none')
}

function parsed<T>(schema: z.ZodType<T>, text: string | undefined, number: number): T {
  try {
    return schema.parse(JSON.parse((text ?? '').slice(0, 4 * MAX_LINE)))
  } catch {
    throw new AuditFileError(`line ${number} is none of its lines`)
  }
}
