/** The checks of one session: which stages, when, and what follows from what they find. */
import type { Frame } from '../../net/index.ts'
import type { decodeToken } from '../ring/protocol.ts'
import { Accounts } from './accounts.ts'
import type { AuditNews, AuditSkip, Verdict } from './audit-types.ts'
import type { Matter } from './claims.ts'
import { AuditUnavailableError } from './errors.ts'
import type { FirstHop } from './first-hop.ts'
import type { RouteSegment } from './route.ts'
import type { ShadowToken } from './shadow.ts'
import { StageAudit } from './stage-audit.ts'
import type { StageAuditNeeds } from './stage-audit.ts'

/** Checks in a row that a stage may leave unanswered before another takes its place. */
const SILENCES = 2
/** The end of a text waits for checks of its last rows for so long. */
const SETTLE_MS = 10_000
/** Checks in a row that come to nothing for another reason while tokens are held. */
const FRUITLESS = 3

export interface AuditingNeeds {
  readonly session: StageAuditNeeds['session']
  readonly init: StageAuditNeeds['init']
  readonly request: number
  readonly first: FirstHop
  readonly signal: AbortSignal
  /** What came of rows before this one may be given. */
  release(row: number): void
  /** This peer's rows are wrong, or nobody can show that they are right: the session goes on without it. */
  condemn(peer: string, news: Omit<AuditNews, 'affected'>): void
  /** Nobody can check what is held. */
  fail(error: Error): void
}

interface Stage {
  readonly audit: StageAudit
  wanted: number
  silences: number
  fruitless: number
  running: boolean
}

export class Auditing {
  readonly accounts: Accounts
  readonly #needs: AuditingNeeds
  readonly #tokens = new Map<number, ShadowToken>()
  #stages: Stage[] = []
  /** The row whose token came last. */
  #last = -1
  #begun = false
  /** The attempt of the last token, when that came before the attempt stood. */
  #early: number | undefined
  #runs = new Set<Promise<void>>()

  constructor(needs: AuditingNeeds) {
    this.#needs = needs
    this.accounts = new Accounts(needs.session)
  }

  /** Another attempt stands: everything that others compute in it is looked at anew, once rows have been over it. */
  begin(attempt: number, route: readonly RouteSegment[], head: StageAuditNeeds['head']): void {
    this.pause()
    const { session, init, request, first, signal } = this.#needs
    const matter: Matter = { origin: session.self, model: init.digest, boundary: init.audit.boundary }
    const followed = { request, attempt, first, signal }
    const needs = { session, init, followed, route, accounts: this.accounts, matter, tokens: this.#tokens, head }
    this.#stages = [...route.keys()]
      .filter((place) => route[place]!.peer !== session.self)
      .map((place) => ({
        audit: new StageAudit(needs, place),
        wanted: 0,
        silences: 0,
        fruitless: 0,
        running: false,
      }))
    this.#begun = true
    if (this.#early === attempt) this.#look(this.#last, this.#last + 1)
    this.#early = undefined
  }

  /** The attempt is over: what is under way in it comes to nothing. */
  pause(): void {
    this.#begun = false
    for (const { audit } of this.#stages) audit.close()
    this.#stages = []
    this.accounts.fail(new Error('another attempt has begun'))
  }

  /** A token has come, so the rows up to `row` have been over all stages. */
  token(row: number, message: Frame, control: ReturnType<typeof decodeToken>): void {
    const id = new DataView(message.payload.buffer, message.payload.byteOffset).getInt32(0, true)
    // Its payload may be a piece of a larger buffer.
    this.#tokens.set(row, { id, message: { ...message, payload: message.payload.slice() }, control })
    const rows = row - this.#last
    this.#last = row
    if (this.#begun) this.#look(row, rows)
    else this.#early = message.attempt
  }

  /** Tokens behind rows from `row` on never were. */
  rollBack(row: number): void {
    this.#last = Math.min(this.#last, row - 1)
    this.#early = undefined
    for (const each of this.#tokens.keys()) if (each >= row) this.#tokens.delete(each)
  }

  /** Resolves when no check is under way, or has been for too long. */
  async idle(): Promise<void> {
    const { clock } = this.#needs.session
    const { promise: late, resolve } = Promise.withResolvers<void>()
    const cancel = clock.after(SETTLE_MS, resolve)
    const all = async (): Promise<void> => {
      while (this.#runs.size > 0) await Promise.all(this.#runs)
    }
    await Promise.race([all(), late]).finally(cancel)
  }

  #look(row: number, rows: number): void {
    const { mode, rate } = this.#needs.init.audit
    for (const stage of this.#stages) {
      if (mode === 'sample' && this.#chance() >= 1 - (1 - rate) ** rows) continue
      stage.wanted = row + 1
      if (stage.running) continue
      const run = this.#run(stage).finally(() => this.#runs.delete(run))
      this.#runs.add(run)
    }
    if (this.#stages.length === 0) this.#needs.release(Infinity)
  }

  #chance(): number {
    const bytes = this.#needs.session.random.bytes(4)
    return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0) / 2 ** 32
  }

  async #run(stage: Stage): Promise<void> {
    const { audit } = this.#needs.init
    stage.running = true
    while (stage.wanted > stage.audit.checked && this.#stages.includes(stage)) {
      const before = stage.audit.checked
      const verdict = await stage.audit
        .check(stage.wanted)
        .catch((error: unknown): Verdict => skippedBy('moved', error instanceof Error ? error.message : String(error)))
      if (!this.#stages.includes(stage)) return audit.skipped('moved')
      audit.count('audits', 1)
      audit.count('audited_rows', stage.audit.checked - before)
      if (!this.#follow(stage, verdict)) break
    }
    stage.running = false
  }

  /** False: no more of this stage for now. */
  #follow(stage: Stage, verdict: Verdict): boolean {
    const { audit } = this.#needs.init
    if (verdict.kind === 'clear') {
      stage.silences = stage.fruitless = 0
      if (audit.mode === 'hold') this.#needs.release(Math.min(...this.#stages.map((each) => each.audit.checked)))
      return true
    }
    if (verdict.kind === 'skipped') return this.#skip(stage, verdict)
    audit.count('audit_mismatches', 1)
    const { position } = verdict
    if (verdict.kind === 'disputed') {
      audit.skipped('disputed')
      const { by, why } = verdict
      const { peer, from, to } = by
      this.#needs.condemn(peer, { verdict: 'disputed', peer, from, to, position, why })
      return false
    }
    const { evidence } = verdict
    const { peer, from, to, by } = evidence
    audit.convict(evidence)
    const why = `${by.join(' and ')} computed something else`
    this.#needs.condemn(peer, { verdict: 'lie', peer, from, to, position, why })
    return false
  }

  #skip(stage: Stage, verdict: Extract<Verdict, { kind: 'skipped' }>): boolean {
    const { audit } = this.#needs.init
    audit.skipped(verdict.reason)
    if (verdict.silent !== undefined && ++stage.silences >= SILENCES) {
      const { peer, from, to } = verdict.silent
      const position = stage.audit.checked
      this.#needs.condemn(peer, { verdict: 'disputed', peer, from, to, position, why: verdict.why })
      return false
    }
    const isHeld = audit.mode === 'hold'
    if (isHeld && (verdict.silent !== undefined || (verdict.reason === 'moved' && ++stage.fruitless < FRUITLESS)))
      return true
    if (isHeld) this.#needs.fail(new AuditUnavailableError(stage.audit.segment, verdict.why))
    stage.wanted = stage.audit.checked
    return false
  }
}

function skippedBy(reason: AuditSkip, why: string): Verdict {
  return { kind: 'skipped', reason, why }
}
