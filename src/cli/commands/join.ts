/** weft join TOKEN|-|FILE: becomes a member of the cluster that an invite names. */
import { homePaths, rememberPeers } from '../../peer/index.ts'
import { enrol } from '../../mesh/index.ts'
import type { EnrolOutcome } from '../../mesh/index.ts'
import {
  adoptClusterHome,
  checkLabel,
  ClocksApartError,
  decodeAdmission,
  decodeToken,
  InClusterError,
  InviteWaitsError,
  LOG_LIMITS,
  MAX_ADMISSION,
  readClusterPin,
  TOKEN_PREFIX,
} from '../../trust/index.ts'
import type { Admission, Entry, InviteToken, OpenedCluster } from '../../trust/index.ts'
import { clusterNeeds, holdingHome, openCluster, refuseRunning, statusOf } from '../cluster/access.ts'
import { readText } from '../cluster/files.ts'
import type { Command, CommandContext } from '../context.ts'
import { recorded } from '../site-log.ts'
import { printable } from '../text.ts'

/** Between two looks at whether a person has approved. */
const ASK_MS = 1_000
const APPROVAL_MS = 600_000

export const command: Command = async (context) => {
  const { flags, home, io, out } = context
  const given = await readGiven(context)
  const name = flags.text('name') ?? ''
  checkLabel('the name of this peer', name, LOG_LIMITS.name)
  const pin = await readClusterPin(home)
  if (pin !== undefined) throw new InClusterError(pin.name, await wasRemoved(context))
  await refuseRunning(context, 'join a cluster')
  const needs = await clusterNeeds(context)
  const joined = given.startsWith('{')
    ? byAdmission(decodeAdmission(given, needs.identity.id))
    : await byToken(context, decodeToken(given), name)
  const adopt = (): Promise<OpenedCluster> =>
    recorded(context, { what: 'cluster.join', target: joined.cluster }, needs.identity, () =>
      adoptClusterHome(needs, home, joined.cluster, joined.entries),
    )
  const opened = await holdingHome(context, adopt)
  const { cluster } = opened
  const own = cluster.member(cluster.self)
  const members = cluster.view().members.length
  opened.close()
  const addresses = joined.addresses.map((address) => address.replace(/\/p2p\/\w+$/, ''))
  await rememberPeers(homePaths(home, io.env).peers, io.clock, [{ id: joined.admin, addresses }])
  // worth a word: max-age goes by them
  if (Math.abs(joined.ahead) > LOG_LIMITS.skewMs) out.note(new ClocksApartError(joined.admin, joined.ahead).message)
  if (out.structured) {
    out.document({
      schema: 'weft.joined/1',
      cluster: cluster.id,
      name: cluster.name,
      peer: cluster.self,
      role: own?.role ?? null,
      site: own?.site ?? '',
      members,
      epoch: cluster.epoch,
      height: cluster.head.height,
      clock_ahead_ms: joined.ahead,
    })
    return
  }
  const site = own === undefined || own.site === '' ? '' : ` of ${printable(own.site)}`
  out.note(`joined ${printable(cluster.name)} as ${own?.role ?? 'nobody'}${site}; ${members} members. Now: weft up`)
}

/** From the cluster of this home. False also where that cannot be read: leaving it is the way out then too. */
async function wasRemoved(context: CommandContext): Promise<boolean> {
  const status = await openCluster(context)
    .then((access) => statusOf(access))
    .catch(() => undefined)
  return status?.role === null
}

interface Joined {
  readonly cluster: string
  readonly entries: readonly Entry[]
  readonly admin: string
  readonly addresses: readonly string[]
  /** Milliseconds by which the admin's clock is ahead; 0 where it was not asked. */
  readonly ahead: number
}

function byAdmission(admission: Admission): Joined {
  return { ...admission, ahead: 0 }
}

async function byToken(context: CommandContext, token: InviteToken, name: string): Promise<Joined> {
  const { entries, admin, address, ahead } = await untilApproved(context, token, name)
  return { cluster: token.cluster, entries, admin, addresses: [address], ahead }
}

async function untilApproved(context: CommandContext, token: InviteToken, name: string): Promise<EnrolOutcome> {
  const { io, flags, out, signal } = context
  const until = io.clock.now() + (flags.number('timeout') ?? APPROVAL_MS)
  const { identity } = await clusterNeeds(context)
  for (let told = false; ; told = true) {
    try {
      return await enrol({ identity, random: io.random, clock: io.clock }, { token, name }, signal)
    } catch (error) {
      const waits = (error as { code?: string }).code === InviteWaitsError.info.code
      if (!waits || io.clock.now() > until) throw error
      if (!told) out.note(`waits for a person: weft peers approve ${identity.id}, at the peer that made the invite`)
      await io.clock.sleep(ASK_MS, signal)
    }
  }
}

/** A token, or an admission. @throws FileUnreadableError */
async function readGiven({ flags, io }: CommandContext): Promise<string> {
  const given = flags.required(0)
  if (given === '-') return (await readAll(io.stdin)).trim()
  return given.trim().startsWith(TOKEN_PREFIX) ? given : (await readText(given, MAX_ADMISSION)).trim()
}

async function readAll(stdin: AsyncIterable<unknown>): Promise<string> {
  let text = ''
  for await (const chunk of stdin) {
    text += typeof chunk === 'string' ? chunk : Buffer.from(chunk as Uint8Array).toString('utf8')
    if (text.length > MAX_ADMISSION) break
  }
  return text
}
