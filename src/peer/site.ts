/**
 * The site that a peer runs at: its policy and its audit log, and the questions that the peer's parts ask of both. Without a
 * policy all is allowed, and the audit log is kept all the same.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { join } from 'node:path'
import { createDefence } from '../net/index.ts'
import type { Ban, Defence } from '../net/index.ts'
import type { Logger, Telemetry } from '../telemetry/index.ts'
import {
  AuditBusyError,
  auditPlaces,
  AuditUnwritableError,
  createPlanGate,
  openAuditLog,
  openSitePolicy,
  POLICY_FILE,
  POLICY_IN_FORCE,
  PolicyRefusedError,
  standingPolicy,
  verify,
} from '../trust/index.ts'
import type {
  AuditEvent,
  AuditLog,
  Decision,
  Identity,
  PlanGate,
  Policy,
  PolicyRequest,
  Role,
  SitePolicy,
} from '../trust/index.ts'
import type { Clock, RandomSource } from '../util/index.ts'
import type { HomePaths } from './home.ts'
import { VERSION } from './version.ts'

export interface SiteNeeds {
  readonly clock: Clock
  readonly random: RandomSource
  readonly identity: Identity
  readonly paths: Pick<HomePaths, 'root' | 'state' | 'keys'>
  readonly logger: Pick<Logger, 'warn' | 'error' | 'info'>
  readonly telemetry: Pick<Telemetry, 'count'>
  /** Of a member; undefined for who is none, and in a mesh without membership. */
  roleOf(peer: string): Role | undefined
  /** Whether the peer has a mesh: then changes of the policy are looked for, and start and stop are written down. */
  readonly online: boolean
}

export interface SiteStatus {
  /** SHA-256 and rules of the policy that is in force; null: none. */
  readonly policy: { readonly sha256: string; readonly rules: number; readonly trouble: string | null } | null
  /** When this identity was last met in a second place, and by whom; null: never. */
  readonly cloned: { readonly at: string; readonly by: string } | null
  readonly bans: readonly Ban[]
  /** Frames of rows of others that were not computed with since the start, and the last of them; null: none. */
  readonly outliers: { readonly count: number; readonly by: string; readonly at: string; readonly kind: string } | null
  readonly audit: { readonly seq: number; readonly hash: string; readonly waiting: number; readonly why: string | null }
}

export class Site {
  readonly audit: AuditLog
  readonly gate: PlanGate
  /** This identity was met elsewhere too. */
  cloned: SiteStatus['cloned'] = null
  #outliers: SiteStatus['outliers'] = null
  readonly defence: Defence
  readonly #policy: SitePolicy
  readonly #listeners: Set<() => void>
  readonly #acting = new AsyncLocalStorage<string>()
  readonly #needs: SiteNeeds

  private constructor(needs: SiteNeeds, audit: AuditLog, policy: SitePolicy, listeners: Set<() => void>) {
    this.#needs = needs
    this.#listeners = listeners
    this.audit = audit
    this.#policy = policy
    this.defence = createDefence({
      clock: needs.clock,
      telemetry: needs.telemetry,
      spares: (peer) => needs.roleOf(peer) === 'admin',
      houses: (peer) => needs.roleOf(peer) !== undefined,
      spared: (subject, offence) => {
        needs.logger.warn(
          { subject, offence },
          'is kept to its limits, and not out: it is an admin of the cluster, or where a member is',
        )
        audit.tally({ who: subject, what: 'peer.spared', result: 'allowed', facts: { offence } })
      },
      told: ({ subject, offence, why, until }) => {
        needs.logger.warn({ subject, offence, until }, `kept out for a while: ${why}`)
        const facts = { offence, until: new Date(until).toISOString() }
        audit.tally({ who: subject, what: 'peer.banned', result: 'refused', facts })
      },
    })
    const known = { decide: (request: PolicyRequest) => policy.decide(this.#known(request)) }
    this.gate = createPlanGate(
      known,
      (request, decision) => this.#write(request, decision),
      (peer) => this.defence.offend(`peer:${peer}`, 'probing'),
    )
  }

  /** @throws PolicyFileError, PolicyAccessError, PolicyMissingError, AuditDamagedError, AuditRolledBackError */
  static async open(needs: SiteNeeds): Promise<Site> {
    const { clock, random, identity, logger, paths, telemetry, online } = needs
    const places = auditPlaces(paths.root)
    const signer = {
      sign: (bytes: Uint8Array) => identity.sign(bytes),
      verify: (bytes: Uint8Array, signature: Uint8Array) => verify(identity.id, bytes, signature),
    }
    const log = (fields: object, line: string): void => logger.error(fields, line)
    const audit = openAuditLog({ clock, random, signer, log }, places)
    const inForce = (policy: Policy | null): void => {
      if (policy !== null && standingPolicy(places.path) !== policy.sha256) audit.note(forceEvent('weft', policy))
    }
    const listeners = new Set<() => void>()
    const policy = await openSitePolicy(
      {
        clock,
        standing: () => standingPolicy(places.path),
        changed: (next) => {
          telemetry.count('policy_reloads')
          logger.info({ sha256: next?.sha256 ?? null }, 'the policy of this site changed')
          inForce(next)
          for (const listener of listeners) listener()
        },
        refused: (error) => {
          logger.error({ err: error }, 'a change of the policy is not used')
          const facts = { code: 'code' in error ? String(error.code) : 'failed' }
          audit.note({ who: 'owner', what: 'policy.change', result: 'refused', facts })
        },
      },
      { path: join(paths.root, POLICY_FILE), watch: online },
    )
    inForce(policy.current())
    if (online) {
      const started = { who: 'weft', what: 'peer.start', result: 'ok', facts: { version: VERSION } } as const
      await audit.record(started).catch((error: unknown) => {
        // A full disk keeps nobody from serving; a log that is not what it was does.
        if (!(error instanceof AuditUnwritableError || error instanceof AuditBusyError)) throw error
        audit.note(started)
      })
    }
    return new Site(needs, audit, policy, listeners)
  }

  /** Whatever comes of `action` is written down as done by `who`. */
  as<Result>(who: string, action: () => Result): Result {
    return this.#acting.run(who, action)
  }

  /** On whose behalf this runs: `owner` where nobody is named, as in a program around the peer. */
  actor(): string {
    return this.#acting.getStore() ?? 'owner'
  }

  /** Rows of another peer were not computed with. */
  outlier(by: string, digest: string, { kind, block }: { readonly kind: string; readonly block: number }): void {
    const at = new Date(this.#needs.clock.wall()).toISOString()
    this.#outliers = { count: (this.#outliers?.count ?? 0) + 1, by, at, kind }
    this.audit.tally({
      who: `peer:${by}`,
      what: 'rows.refused',
      target: digest,
      result: 'refused',
      facts: { kind, block },
    })
  }

  /** Written down as one that happened. */
  note(event: AuditEvent): void {
    this.audit.note(event)
  }

  /** One that may come very often, by somebody else's will. */
  tally(event: AuditEvent): void {
    this.audit.tally(event)
  }

  decide(request: PolicyRequest): Decision {
    const decision = this.#policy.decide(this.#known(request))
    this.#write(request, decision)
    return decision
  }

  /** @throws PolicyRefusedError */
  admit(request: PolicyRequest): void {
    const decision = this.decide(request)
    if (!decision.allow) throw new PolicyRefusedError(request, decision)
  }

  /** Connections and relaying; what else a peer may is asked where the model is known. Its own records come back to it. */
  admits(peer: string, purpose: string): boolean {
    if (peer === this.#needs.identity.id || (purpose !== 'connect' && purpose !== 'relay')) return true
    return this.decide({ action: purpose, peer }).allow
  }

  /** The rule that does not let a peer connect. Not written down: the refusal is. */
  keepsOut(peer: string): string | undefined {
    const { allow, rule } = this.#policy.decide(this.#known({ action: 'connect', peer }))
    return allow ? undefined : rule
  }

  /** Whether prompts of this peer may go over that one at all, of whatever model. Not written down: nothing is sent yet. */
  mayRoute(peer: string, model?: string): boolean {
    if (peer === this.#needs.identity.id) return true
    return this.#policy.decide(this.#known({ action: 'route', peer, model }), 'possible').allow
  }

  /** Another policy is in force, or none. Returns how to hear no more of it. */
  onPolicy(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** What is allowed now may be forbidden later without a change: by hours, or an end. */
  hasTimes(): boolean {
    return this.#policy.current()?.rules.some(({ hours, until }) => (hours ?? until) !== undefined) ?? false
  }

  /** Milliseconds for which the policy believes a membership that no admin confirms; undefined: for ever. */
  maxAge(): number | undefined {
    return this.#policy.current()?.maxAge
  }

  hasPolicy(): boolean {
    return this.#policy.current() !== null
  }

  status(): SiteStatus {
    const policy = this.#policy.current()
    const { waiting, why } = this.audit.trouble()
    return {
      policy:
        policy === null ? null : { sha256: policy.sha256, rules: policy.rules.length, trouble: this.#policy.trouble() },
      cloned: this.cloned,
      bans: this.defence.bans(),
      outliers: this.#outliers,
      audit: { ...this.audit.head(), waiting, why },
    }
  }

  close(): void {
    this.#policy.stop()
    this.audit.close(this.#needs.online ? { who: 'weft', what: 'peer.stop', result: 'ok' } : undefined)
  }

  /** The role is the membership's to say, whoever asks. */
  #known(request: PolicyRequest): PolicyRequest {
    return { ...request, role: this.#needs.roleOf(request.peer) }
  }

  #write({ action, peer, model, plan, data }: PolicyRequest, { allow, rule }: Decision): void {
    if (!this.hasPolicy()) return
    if (!allow) this.#needs.telemetry.count('policy_refused', 1, { action })
    this.audit.tally({
      who: `peer:${peer}`,
      what: `decision.${action}`,
      target: model ?? plan ?? data,
      result: allow ? 'allowed' : 'refused',
      rule,
    })
  }
}

/** A policy is in force from now on. */
export function forceEvent(who: string, policy: Policy): AuditEvent {
  const facts = { sha256: policy.sha256, rules: policy.rules.length }
  return { who, what: POLICY_IN_FORCE, result: 'ok', facts }
}
