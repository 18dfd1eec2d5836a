/** weft policy check|test|apply|explain|remove: what this site allows. The file of the home, so no peer needs to run. */
import { createHash } from 'node:crypto'
import { readFile, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { EXIT } from '../../errors.ts'
import {
  auditPlaces,
  explainPeer,
  explainPolicy,
  isPeerId,
  POLICY_FILE,
  POLICY_IN_FORCE,
  POLICY_REMOVED,
  PolicyAccessError,
  policyStamp,
  PolicyFileError,
  PolicyRequestError,
  readPolicyFile,
  readPolicyRequest,
  standingPolicy,
  decide,
  readClusterPin,
  STAGE_HOLDER_LEARNS,
  writePolicyFile,
} from '../../trust/index.ts'
import { readAtMost } from '../../store/index.ts'
import type { Policy, Role } from '../../trust/index.ts'
import { namedMembers, openCluster, statusOf } from '../cluster/access.ts'
import type { Command, CommandContext } from '../context.ts'
import { FileUnreadableError, NotHereError, UsageError } from '../errors.ts'
import { findPeer } from '../find-peer.ts'
import { runningStatus } from '../peer-access.ts'
import { recordEvent } from '../site-log.ts'
import { printable, table } from '../text.ts'

/** The peer looks every second. */
const TAKEN_UP_MS = 10_000
const LOOK_MS = 100
/** A request is some hundred bytes. */
const MAX_REQUEST_BYTES = 65_536

export const command: Command = (context) => {
  const action = context.flags.required(0)
  if (action === 'check') return check(context)
  if (action === 'test') return test(context)
  if (action === 'apply') return apply(context)
  return action === 'remove' ? remove(context) : explain(context)
}

const ownPath = ({ home }: CommandContext): string => join(home, POLICY_FILE)

async function check(context: CommandContext): Promise<number> {
  const { flags, out } = context
  const given = flags.argument(1)
  const path = given === undefined ? ownPath(context) : resolve(given)
  try {
    const { policy } = given === undefined ? { policy: await own(context) } : await givenPolicy(path)
    const { sha256, rules } = policy
    if (out.structured)
      out.document({ schema: 'weft.policy-check/1', path, ok: true, sha256, rules: rules.length, problems: [] })
    else out.note(`${path}: ${rules.length} rules, no mistake`)
    return EXIT.ok
  } catch (error) {
    if (!(error instanceof PolicyFileError)) throw error
    if (out.structured) {
      out.document({ schema: 'weft.policy-check/1', path, ok: false, sha256: null, rules: 0, ...error.details })
      return error.info.exit
    }
    // The error names the first.
    for (const { line, column, message } of error.problems.slice(1))
      out.line(printable(`${path}:${line}:${column}: ${message}`))
    throw error
  }
}

/** One that is no home's yet: nobody has to trust it. @throws FileUnreadableError, PolicyFileError */
function givenPolicy(path: string): ReturnType<typeof readPolicyFile> {
  return readPolicyFile(path).catch((error: unknown) => {
    throw error instanceof PolicyAccessError ? new FileUnreadableError(path, error.cause) : error
  })
}

/** The policy that lies in the home. @throws NotHereError */
async function own(context: CommandContext): Promise<Policy> {
  const path = ownPath(context)
  if ((await policyStamp(path)) === null) throw noPolicy(path)
  return (await readPolicyFile(path)).policy
}

function noPolicy(path: string): NotHereError {
  return new NotHereError('policy', path, 'weft policy apply FILE puts one in force; without one all is allowed')
}

/** Null: there is no such file. @throws PolicyAccessError */
async function hashOf(path: string): Promise<string | null> {
  const bytes = await readFile(path).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw new PolicyAccessError(path, (error as Error).message, error)
  })
  return bytes === null ? null : createHash('sha256').update(bytes).digest('hex')
}

async function test(context: CommandContext): Promise<number> {
  const { flags, io, out } = context
  const file = flags.argument(1)
  if (file === undefined) throw new UsageError('weft policy test needs FILE', 'usage: weft policy test REQUEST.json')
  const bytes = await readAtMost(file, MAX_REQUEST_BYTES).catch((error: unknown) => {
    throw new FileUnreadableError(file, error)
  })
  if (bytes.length > MAX_REQUEST_BYTES) throw new PolicyRequestError(`it has more than ${MAX_REQUEST_BYTES} bytes`)
  const text = bytes.toString('utf8')
  const named = readPolicyRequest(text)
  const request = { ...named, role: named.role ?? (await memberRole(context, named.peer)) }
  const other = flags.text('policy')
  const policy = other === undefined ? await own(context) : (await givenPolicy(resolve(other))).policy
  const decision = decide(policy, request, io.clock.wall())
  if (out.structured) out.document({ schema: 'weft.policy-decision/1', ...decision, request })
  else out.line(`${decision.allow ? 'allowed' : 'denied'}  rule ${decision.rule}: ${printable(decision.why)}`)
  return decision.allow ? EXIT.ok : EXIT.denied
}

async function apply(context: CommandContext): Promise<number> {
  const { flags, out } = context
  const file = flags.argument(1)
  if (file === undefined) throw new UsageError('weft policy apply needs FILE', 'usage: weft policy apply FILE')
  const { policy, text } = await givenPolicy(resolve(file))
  const path = ownPath(context)
  // Whoever may not write the one that stands does not get to write it.
  await policyStamp(path)
  const { sha256, rules } = policy
  const facts = { sha256, rules: rules.length }
  await recordEvent(context, { who: 'owner', what: POLICY_IN_FORCE, result: 'ok', facts })
  await writePolicyFile(path, text)
  const running = await takenUp(context, sha256)
  if (out.structured) out.document({ schema: 'weft.policy/1', path, ...facts, running })
  else {
    out.line(path)
    out.note(takenText(running))
    if (rules.length === 0) out.note('it has no rules: everything is denied')
  }
  return running === false ? EXIT.partial : EXIT.ok
}

async function remove(context: CommandContext): Promise<number> {
  const { out } = context
  const path = ownPath(context)
  // As the audit log has it: the file may be gone, or be none any more.
  const sha256 = standingPolicy(auditPlaces(context.home).path) ?? (await hashOf(path))
  if (sha256 === null) throw noPolicy(path)
  await recordEvent(context, { who: 'owner', what: POLICY_REMOVED, result: 'ok', facts: { sha256 } })
  await rm(path, { force: true })
  const running = await takenUp(context, null)
  if (out.structured) out.document({ schema: 'weft.policy-removed/1', path, sha256, running })
  else out.note(running === false ? takenText(running) : 'there is no policy any more: everything is allowed')
  return running === false ? EXIT.partial : EXIT.ok
}

/** As a running peer would take it: by the membership log of this home. Undefined: no member, or no cluster. */
async function memberRole(context: CommandContext, peer: string): Promise<Role | undefined> {
  if ((await readClusterPin(context.home)) === undefined) return undefined
  const { members } = await statusOf(await openCluster(context))
  return members.find(({ id }) => id === peer)?.role
}

/** By its id; or by a name or a part of one, of a member or of whom the running peer knows. @throws PeerNotFoundError */
async function peerNamed(
  context: CommandContext,
  wanted: string,
): Promise<{ readonly id: string; readonly role: Role | undefined }> {
  const { home, io, signal } = context
  const isMember = (await readClusterPin(home)) !== undefined
  if (isMember) {
    const access = await openCluster(context)
    const status = await statusOf(access)
    const known = await namedMembers(access, status, signal)
    const id = isPeerId(wanted) ? wanted : findPeer(known, wanted).id
    return { id, role: status.members.find((member) => member.id === id)?.role }
  }
  if (isPeerId(wanted)) return { id: wanted, role: undefined }
  const status = await runningStatus(io, home, signal)
  return { id: findPeer(status === null ? [] : [status.peer, ...status.peers], wanted).id, role: undefined }
}

function takenText(running: boolean | null): string {
  if (running === null) return 'it holds when a peer of this home starts'
  if (running) return 'it is in force in the running peer'
  return 'the running peer has NOT taken it up, and goes on with what it had: weft status says why'
}

/** Null: no peer runs. False: it goes on with what it had, and weft status says why. */
async function takenUp({ home, io, signal }: CommandContext, sha256: string | null): Promise<boolean | null> {
  const until = io.clock.now() + TAKEN_UP_MS
  for (;;) {
    const status = await runningStatus(io, home, signal)
    if (status?.site === undefined) return null
    if ((status.site.policy?.sha256 ?? null) === sha256) return true
    if (io.clock.now() > until) return false
    await io.clock.sleep(LOOK_MS, signal)
  }
}

async function explain(context: CommandContext): Promise<void> {
  const { flags, io, out } = context
  const policy = await own(context)
  const peer = flags.argument(1)
  const learns = STAGE_HOLDER_LEARNS
  if (peer !== undefined) {
    const { id, role } = await peerNamed(context, peer)
    const actions = explainPeer(policy, { peer: id, role }, io.clock.wall())
    if (out.structured) {
      const answers = actions.map(({ action, decision }) => ({ action, ...decision }))
      out.document({
        schema: 'weft.policy-peer/1',
        peer: id,
        role: role ?? null,
        actions: answers,
        stage_holder_learns: learns,
      })
    } else {
      const rows = actions.map(({ action, decision }) => [
        action,
        decision.allow ? 'may' : 'no',
        printable(decision.why),
      ])
      out.lines(table([{ head: 'ACTION' }, { head: 'MAY' }, { head: 'WHY' }], rows))
      if (actions.some(({ action, decision }) => action === 'route' && decision.allow)) out.note(learns)
    }
    return
  }
  const explained = explainPolicy(policy)
  if (out.structured) {
    out.document({ schema: 'weft.policy-explained/1', ...explained, stage_holder_learns: learns })
    return
  }
  out.line('What may leave this site:')
  for (const { text } of explained.egress) out.line(`  ${text}`)
  if (explained.max_age !== null) out.lines(['How long the membership is believed:', `  ${explained.max_age.text}`])
  out.line('Who may, and nobody else:')
  for (const { text, rules, only } of explained.actions) {
    const told = rules.map(({ effect, name, text: who }) => `${effect === 'deny' ? 'not ' : ''}${who} (${name})`)
    const whom = told.length === 0 ? 'nobody' : told.join('; ')
    out.line(`  ${text}: ${only === null || told.length === 0 ? whom : `${only}: ${whom}`}`)
  }
  out.note(learns)
}
