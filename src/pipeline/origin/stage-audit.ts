/**
 * One stage of a session held against somebody who computes the same rows again: a shadow hop at another holder, or here, is
 * fed what the stage was fed, and its rows are compared with what the stage's successor got. All rows up to the one that is
 * checked are compared, since an auditor has to compute them anyway; as rows of a prompt they cost it little.
 *
 * Nobody is blamed on one other peer's word: a third one decides, and this peer's own computation before all.
 */
import { chained, CHAIN_START, HASH_BYTES, rowHashes, sha256 } from '../ring/statement.ts'
import type { Accounts, Asked } from './accounts.ts'
import type { Verdict } from './audit-types.ts'
import { Auditors } from './auditors.ts'
import { agree, areEqual, boundaryType, evidenceOf, isSound } from './claims.ts'
import type { Claim, Matter } from './claims.ts'
import type { RouteSegment } from './route.ts'
import type { SessionInit, SessionNeeds } from './session.ts'
import type { Followed, ShadowHop, ShadowToken } from './shadow.ts'
import { firstFar } from './tolerance.ts'

export interface StageAuditNeeds {
  readonly session: SessionNeeds
  readonly init: SessionInit & { readonly audit: NonNullable<SessionInit['audit']> }
  readonly followed: Followed
  readonly route: readonly RouteSegment[]
  /** Of the session that is audited. */
  readonly accounts: Accounts
  readonly matter: Matter
  /** What the last hop said, by the row that it follows. */
  readonly tokens: ReadonlyMap<number, ShadowToken>
  /** When the head was opened: the first row that a token was wanted of, and the tokens before. */
  readonly head: { readonly row: number; readonly tokens: readonly number[] }
}

export class StageAudit {
  readonly segment: RouteSegment
  readonly place: number
  /** Rows [0, checked) are as they should be. */
  checked = 0
  readonly #needs: StageAuditNeeds
  readonly #auditors: Auditors
  /** Kernels differ, as both have signed. */
  #byValue = false

  constructor(needs: StageAuditNeeds, place: number) {
    this.#needs = needs
    this.place = place
    this.segment = needs.route[place]!
    this.#auditors = new Auditors(needs, place)
  }

  close(): void {
    this.#auditors.close()
  }

  /** Holds rows [checked, to) against another's. */
  async check(to: number): Promise<Verdict> {
    for (;;) {
      const shadow = await this.#auditors.current()
      if (shadow === undefined) return this.#auditors.verdict
      const fed = await this.#feed(shadow, to)
      if (!fed) continue
      const row = await this.#firstDifference(shadow, to)
      if (typeof row === 'object') return row
      if (row === 'auditor') continue
      if (row === undefined) {
        this.checked = to
        return { kind: 'clear' }
      }
      const verdict = await this.#judge(shadow, row, to)
      if (typeof verdict === 'object') return verdict
    }
  }

  get #isHead(): boolean {
    return this.place === this.#needs.route.length - 1
  }

  async #feed(shadow: ShadowHop, to: number): Promise<boolean> {
    try {
      await shadow.feed(to, this.#isHead ? this.#needs.head.row : undefined)
      return true
    } catch (error) {
      this.#auditors.drop(shadow, error)
      return false
    }
  }

  /** The first row that differs. */
  async #firstDifference(shadow: ShadowHop, to: number): Promise<number | undefined | 'auditor' | Verdict> {
    const from = this.checked
    if (this.#isHead) return this.#firstOtherToken(shadow, to)
    const successor = this.#hop(this.place + 1)
    const sent = await this.#needs.accounts.hashes(successor, 'taken', from, to).catch(() => undefined)
    if (sent === undefined) return silent(this.#needs.route[this.place + 1]!)
    try {
      const [theirs, own] = [this.#kernel(shadow.peer), this.#kernel(this.segment.peer)]
      // While one of them is not known, the bits are looked at first, and what both have signed tells the rest.
      if (this.#byValue || (theirs !== own && theirs !== '' && own !== ''))
        return await this.#firstFarRow(shadow, sent, to)
      const again = await shadow.accounts.hashes(this.#auditor(shadow), 'given', from, to)
      for (let row = 0; row < to - from; row++) {
        const at = row * HASH_BYTES
        if (!areEqual(sent.subarray(at, at + HASH_BYTES), again.subarray(at, at + HASH_BYTES))) return from + row
      }
      return undefined
    } catch (error) {
      this.#auditors.drop(shadow, error)
      return 'auditor'
    }
  }

  #firstOtherToken(shadow: ShadowHop, to: number): number | undefined {
    for (let row = Math.max(this.checked, this.#needs.head.row); row < to; row++) {
      const said = this.#needs.tokens.get(row)
      if (said !== undefined && shadow.tokens.get(row)?.id !== said.id) return row
    }
    return undefined
  }

  /** With other kernels: rows are far apart, or are not those that were sent. */
  async #firstFarRow(shadow: ShadowHop, sent: Uint8Array, to: number): Promise<number | undefined | Verdict> {
    const { accounts, matter } = this.#needs
    const position = this.checked
    for (let from = position; from < to; from += VALUE_ROWS) {
      const count = Math.min(VALUE_ROWS, to - from)
      const query = { side: 'rows', position: from, count } as const
      const shown = await accounts.ask(this.#hop(this.place), query).catch(() => undefined)
      if (shown === undefined) return silent(this.segment)
      const hashes = sent.subarray((from - position) * HASH_BYTES, (from - position + count) * HASH_BYTES)
      if (!areEqual(rowHashes(shown.payload, count), hashes)) return silent(this.segment)
      const again = await shadow.accounts.ask(this.#auditor(shadow), query)
      const far = firstFar(shown.payload, again.payload, boundaryType(matter), count)
      if (far !== undefined) return from + far
    }
    return undefined
  }

  /** Who is wrong about a row. `auditor`: the auditor is, and another has to look; `again`: the same, in another way. */
  async #judge(shadow: ShadowHop, row: number, to: number): Promise<Verdict | 'auditor' | 'again'> {
    const { matter, followed, init } = this.#needs
    const { origin } = matter
    const accused = await this.#accused(row).catch(() => undefined)
    if (accused === undefined || !isSound(matter, accused, followed.request)) return this.#unproven(row)
    const end = accused.position + accused.count
    const other = await this.#claimOf(shadow, accused, Math.max(end, to)).catch((error: unknown) => {
      this.#auditors.drop(shadow, error)
    })
    if (other === undefined) return 'auditor'
    if (!areEqual(other.seal.input, accused.seal.input)) return this.#judgeInput(shadow, accused, row)
    if (accused.seal.kernel !== other.seal.kernel && !this.#byValue) {
      this.#byValue = true
      // Other kernels may find another token the likeliest.
      if (this.#isHead) this.#auditors.drop(shadow, new Error('it has other kernels'))
      return 'again'
    }
    if (await agree(matter, accused, other).catch(() => false))
      return { kind: 'skipped', reason: 'moved', why: 'it agrees now' }
    const lie = (by: readonly string[]): Verdict => {
      const expected = { bytes: sha256(other.hashes), by }
      return { kind: 'lie', position: row, evidence: evidenceOf(matter, accused, 'rows', expected) }
    }
    if (shadow.peer === origin) return lie([origin])
    const third = await this.#third(shadow.peer, accused)
    if (third === undefined)
      return { kind: 'disputed', position: row, by: accused, why: `only ${shadow.peer} has computed it again` }
    if (await agree(matter, third, other).catch(() => false)) return lie([shadow.peer, third.peer])
    if (await agree(matter, third, accused).catch(() => false)) {
      const expected = { bytes: sha256(accused.hashes), by: [accused.peer, third.peer] }
      init.audit.convict(evidenceOf(matter, other, 'account', expected))
      this.#auditors.drop(shadow, new Error('its account was wrong'))
      return 'auditor'
    }
    if (third.peer === origin) {
      const expected = { bytes: sha256(third.hashes), by: [origin] }
      return { kind: 'lie', position: row, evidence: evidenceOf(matter, accused, 'rows', expected) }
    }
    return { kind: 'disputed', position: row, by: accused, why: 'three peers have three accounts of it' }
  }

  /** Who is wrong about what the stage was sent: what this peer sent it itself, it knows. */
  async #judgeInput(shadow: ShadowHop, accused: Claim, row: number): Promise<Verdict | 'auditor'> {
    const { matter, route } = this.#needs
    const { origin } = matter
    const sent = await this.#inputUntil(accused.position + accused.count).catch(() => undefined)
    if (sent !== undefined && areEqual(sent, accused.seal.input)) {
      this.#auditors.drop(shadow, new Error('it was fed other rows than the stage, or says so'))
      return 'auditor'
    }
    const isOwn = this.place === 0 || route[this.place - 1]!.peer === origin
    if (sent === undefined || !isOwn)
      return { kind: 'disputed', position: row, by: accused, why: 'two accounts of what it was sent' }
    const expected = { bytes: sent, by: [origin] }
    return { kind: 'lie', position: row, evidence: evidenceOf(matter, accused, 'input', expected) }
  }

  /** Whoever took the rows has no signature of their sender's: it should not have taken them. */
  #unproven(row: number): Verdict {
    const by = this.#isHead ? this.segment : this.#needs.route[this.place + 1]!
    return { kind: 'disputed', position: row, by, why: 'it cannot show who signed the rows that it took' }
  }

  /** What the stage said of this row, as its successor can show it. @throws PeerLostError */
  async #accused(row: number): Promise<Claim | undefined> {
    if (this.#isHead) return this.#tokenClaim(this.segment, this.#needs.tokens.get(row), row)
    const { accounts } = this.#needs
    const { receipt, payload } = await accounts.ask(this.#hop(this.place + 1), {
      side: 'receipt',
      position: row,
      count: 1,
    })
    if (receipt === undefined || receipt.position > row || receipt.position + receipt.count <= row) return undefined
    const { from, to } = this.segment
    const { peer, position, count } = receipt
    if (receipt.from !== from || receipt.to !== to) return undefined
    const rows = async (): Promise<Uint8Array> =>
      (await accounts.ask(this.#hop(this.place), { side: 'rows', position, count })).payload
    return { peer, from, to, position, count, hashes: payload, seal: receipt, rows }
  }

  /** What an auditor says of the same rows. @throws PeerLostError */
  async #claimOf(shadow: ShadowHop, { position, count }: Claim, to: number): Promise<Claim | undefined> {
    await shadow.feed(to, this.#isHead ? this.#needs.head.row : undefined)
    const segment = { ...this.segment, peer: shadow.peer }
    const claim = this.#isHead
      ? this.#tokenClaim(segment, shadow.tokens.get(position), position)
      : await this.#rowsClaim(segment, shadow, position, count)
    if (claim === undefined || !isSound(this.#needs.matter, claim, shadow.request)) {
      this.#auditors.drop(shadow, new Error('it has not signed its account'))
      return undefined
    }
    return claim
  }

  async #rowsClaim(
    segment: RouteSegment,
    shadow: ShadowHop,
    position: number,
    count: number,
  ): Promise<Claim | undefined> {
    const asked = this.#auditor(shadow)
    const { seal, payload } = await shadow.accounts.ask(asked, { side: 'given', position, count })
    const rows = async (): Promise<Uint8Array> =>
      (await shadow.accounts.ask(asked, { side: 'rows', position, count })).payload
    return seal && { ...segment, position, count, hashes: payload, seal, rows }
  }

  #tokenClaim(segment: RouteSegment, token: ShadowToken | undefined, position: number): Claim | undefined {
    const seal = token?.control.seal
    if (token === undefined || seal === undefined) return undefined
    const { payload } = token.message
    return { ...segment, position, count: 1, hashes: sha256(payload), seal, rows: () => Promise.resolve(payload) }
  }

  /** Somebody else's computation of what is disputed: this peer's own where it can be had. */
  async #third(second: string, accused: Claim): Promise<Claim | undefined> {
    const exclude = new Set([second])
    for (;;) {
      const shadow = await this.#auditors.open(exclude, true)
      if (shadow === undefined) return undefined
      try {
        const claim = await this.#claimOf(shadow, accused, accused.position + accused.count)
        // Whoever was fed other rows has nothing to say of these.
        if (claim !== undefined && areEqual(claim.seal.input, accused.seal.input)) return claim
        if (claim !== undefined) this.#auditors.drop(shadow, new Error('it was fed other rows, or says so'))
      } catch (error) {
        this.#auditors.drop(shadow, error)
      } finally {
        shadow.close()
      }
    }
  }

  /** The chain over what the stage was sent, as whoever sent it says. @throws PeerLostError */
  async #inputUntil(end: number): Promise<Uint8Array> {
    const { accounts, followed } = this.#needs
    const hashes =
      this.place === 0
        ? rowHashes(new Uint8Array(Int32Array.from(followed.first.ids(end)).buffer), end)
        : await accounts.hashes(this.#hop(this.place - 1), 'given', 0, end)
    return chained(CHAIN_START, hashes).slice(-HASH_BYTES)
  }

  #kernel(peer: string): string {
    return this.#needs.init.failover.kernel(peer)
  }

  #hop(place: number): Asked {
    const { followed, route } = this.#needs
    const { request, attempt } = followed
    const { peer, from } = route[place]!
    return { peer, request, attempt, hop: place, block: from }
  }

  #auditor({ peer, request }: ShadowHop): Asked {
    return { peer, request, attempt: 0, hop: this.place, block: this.segment.from }
  }
}

/** Rows that are compared by value at once: a few hundred KB. */
const VALUE_ROWS = 64

function silent(segment: RouteSegment): Verdict {
  return { kind: 'skipped', reason: 'refused', why: 'it gives no account of rows', silent: segment }
}
