/** weft audit tail|verify|export|prove: who did what here, and whether that is still what was written down. */
import { join, resolve } from 'node:path'
import { EXIT } from '../../errors.ts'
import { readAtMost, writeFileAtomic } from '../../store/index.ts'
import {
  AuditDamagedError,
  auditPlaces,
  AuditEntryMissingError,
  AuditFileError,
  checkAuditFile,
  checkExport,
  exportLines,
  identityOwner,
  loadOrCreateIdentity,
  ownWitnesses,
  readAuditRows,
  viewsOf,
  witnessedBy,
} from '../../trust/index.ts'
import type { AuditReport, AuditView, CheckedAudit } from '../../trust/index.ts'
import type { Command, CommandContext } from '../context.ts'
import { FileUnreadableError, NotHereError, UsageError } from '../errors.ts'
import { homePassphrase } from '../passphrase.ts'
import { printable, table } from '../text.ts'

const LINES = 50
/** What a string can hold; some 800,000 entries. */
const MAX_EXPORT_BYTES = 500_000_000

export const command: Command = (context) => {
  const action = context.flags.argument(0) ?? 'tail'
  if (action === 'tail') return tail(context)
  if (action === 'verify') return verify(context)
  return action === 'export' ? exported(context) : prove(context)
}

interface HomeLog {
  readonly peer: string
  readonly checked: CheckedAudit
}

/** @throws NotHereError where the home has no identity */
async function homeLog({ home }: CommandContext): Promise<HomeLog> {
  const peer = await identityOwner(join(home, 'keys'))
  if (peer === undefined) throw new NotHereError('audit log', join(home, 'state'), 'weft up begins one')
  const heads = await ownWitnesses(join(home, 'state'))
  return { peer, checked: checkAuditFile(peer, auditPlaces(home), heads) }
}

async function tail(context: CommandContext): Promise<number> {
  const { flags, out } = context
  const { peer, checked } = await homeLog(context)
  const views = viewsOf(checked)
  const what = flags.text('what')
  const wanted = views.filter((view) => what === undefined || view.what === what || view.what.startsWith(`${what}.`))
  const lines = flags.number('lines') ?? LINES
  const shown = lines === 0 ? wanted : wanted.slice(-lines)
  if (out.jsonl) for (const view of shown) out.document({ schema: 'weft.audit-entry/1', ...view })
  else if (out.json) out.document({ schema: 'weft.audit/1', peer, entries: shown })
  else if (shown.length === 0) out.note('nothing was written down yet')
  else out.lines(entriesTable(shown))
  return troubled(context, checked.report)
}

function entriesTable(views: readonly AuditView[]): string[] {
  const heads = ['SEQ', 'AT', 'WHO', 'WHAT', 'TARGET', 'RESULT', 'RULE', 'FACTS'].map((head) => ({ head }))
  return table(
    heads,
    views.map(({ seq, at, who, what, target, result, rule, facts }) => [
      String(seq),
      at.slice(0, 19).replace('T', ' '),
      short(who),
      what,
      short(target ?? '-'),
      result,
      rule ?? '-',
      Object.entries(facts)
        .map(([key, value]) => `${key}=${short(String(value))}`)
        .join(' '),
    ]),
  )
}

/** PeerIds and digests are long, and told apart by their ends. */
function short(text: string): string {
  const safe = printable(text)
  return safe.length <= 28 ? safe : `${safe.slice(0, 12)}…${safe.slice(-6)}`
}

async function verify(context: CommandContext): Promise<number> {
  const { flags, home, out } = context
  const file = flags.argument(1)
  let report: AuditReport
  let proven: AuditView | undefined
  if (file === undefined) report = (await homeLog(context)).checked.report
  else {
    const text = await readText(file)
    const read = checkExport(text, await witnessedBy(join(home, 'state'), peerOf(text)))
    report = read.report
    if (read.kind === 'proof') proven = read.entries[0]
  }
  const { peer, entries, exported: at, head, unsigned, witnesses, clock_back: back, trouble } = report
  if (out.structured) {
    const shown = proven === undefined ? {} : { proven }
    out.document({ schema: 'weft.audit-report/1', ok: trouble === null, ...report, ...shown })
  } else if (trouble === null) {
    const begins = head.hash.slice(0, 16)
    if (proven === undefined) out.line(`${entries} entries of ${peer} hold together; the head is ${begins}`)
    else {
      out.lines(entriesTable([proven]))
      out.line(`this entry is in the log of ${peer}, which had ${entries}; the head is ${begins}`)
    }
    if (at !== null) out.note(`exported at ${at}; what was written down since is not in it`)
    if (unsigned > 0) out.note(`the last ${unsigned} were written while the key was locked: the next entry signs them`)
    if (back > 0) out.note(`the clock was set back ${back} times`)
    const who = new Set(witnesses.map(({ by }) => by)).size
    out.note(
      who === 0
        ? 'no other peer remembers a head of it: an owner who wrote all of it anew could not be told'
        : `${who} peers remember heads of it, up to entry ${Math.max(...witnesses.map(({ seq }) => seq))}, and they are in it`,
    )
  }
  return troubled(context, report)
}

function troubled({ out }: CommandContext, { trouble }: AuditReport): number {
  if (trouble === null) return EXIT.ok
  out.note(`${out.paintNote('red', 'entry')} ${trouble.entry}: ${printable(trouble.why)}  WEFT-TRU-080`)
  return EXIT.integrity
}

async function exported(context: CommandContext): Promise<number> {
  const { checked } = await homeLog(context)
  await writeSigned(context)
  return troubled(context, checked.report)
}

async function prove(context: CommandContext): Promise<number> {
  const { flags } = context
  const seq = Number(flags.argument(1) ?? '')
  if (!Number.isSafeInteger(seq) || seq < 1)
    throw new UsageError('weft audit prove needs the number of an entry', 'usage: weft audit prove SEQ')
  const { checked } = await homeLog(context)
  if (seq > checked.report.entries) throw new AuditEntryMissingError(seq, checked.report.entries)
  await writeSigned(context, seq)
  return troubled(context, checked.report)
}

/** Signed with where it ends. @param only undefined: all entries. @throws KeyLockedError, WrongPassphraseError */
async function writeSigned(context: CommandContext, only?: number): Promise<void> {
  const { flags, home, io, out } = context
  const identity = await loadOrCreateIdentity({
    directory: join(home, 'keys'),
    passphrase: await homePassphrase(context),
  })
  const { path } = auditPlaces(home)
  const { rows, trouble } = readAuditRows(path)
  // What cannot be read has no end that could be signed.
  if (trouble !== undefined)
    throw new AuditDamagedError(`the audit log ${path} cannot be exported`, {
      why: trouble.why,
      details: { path, entry: trouble.entry },
    })
  const text = `${[...exportLines(identity, io.clock.wall(), rows, only)].join('\n')}\n`
  const to = flags.text('out')
  if (to === undefined) out.write(text)
  else {
    await writeFileAtomic(resolve(to), text, { mode: 0o600 })
    if (out.structured) out.document({ schema: 'weft.audit-written/1', path: resolve(to) })
    else out.line(resolve(to))
  }
}

/** @throws FileUnreadableError, AuditFileError */
async function readText(path: string): Promise<string> {
  const bytes = await readAtMost(path, MAX_EXPORT_BYTES).catch((error: unknown) => {
    throw new FileUnreadableError(path, error)
  })
  if (bytes.length > MAX_EXPORT_BYTES) throw new AuditFileError(`it has more than ${MAX_EXPORT_BYTES} bytes`)
  return bytes.toString('utf8')
}

/** Whose log an export says it is; whether that is so is found by its signatures. */
function peerOf(text: string): string {
  try {
    const { peer } = JSON.parse(text.split('\n', 1)[0] ?? '') as { peer?: unknown }
    return typeof peer === 'string' ? peer : ''
  } catch {
    return ''
  }
}
