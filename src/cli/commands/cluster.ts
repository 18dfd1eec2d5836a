/** weft cluster create|show|admins|sign|rotate|certificates|export|recover|leave: the private cluster of a home. */
import { leaveClusterHome, readRootKey, RootKeyError } from '../../trust/index.ts'
import { holdingHome, namedMembers, openCluster, statusOf } from '../cluster/access.ts'
import { create, lifetimeOf, thresholdOf } from '../cluster/create.ts'
import { readText, writeSecret } from '../cluster/files.ts'
import { tellChange } from '../cluster/outcome.ts'
import { clusterLines } from '../cluster/view.ts'
import type { Command, CommandContext } from '../context.ts'
import { UsageError } from '../errors.ts'
import { findPeer } from '../find-peer.ts'
import { withMaybePassphrase } from '../passphrase.ts'
import { formatSpan } from '../format.ts'
import { printable } from '../text.ts'

const MAX_PROPOSAL = 2 << 20

export const command: Command = (context) => {
  switch (context.flags.required(0)) {
    case 'create':
      return create(context)
    case 'admins':
      return admins(context)
    case 'sign':
      return sign(context)
    case 'rotate':
      return rotate(context)
    case 'certificates':
      return certificates(context)
    case 'export':
      return exportLog(context)
    case 'recover':
      return recover(context)
    case 'leave':
      return leave(context)
    default:
      return show(context)
  }
}

async function show(context: CommandContext): Promise<void> {
  const { out, flags } = context
  const status = await statusOf(await openCluster(context), flags.flag('verify'))
  if (out.structured) out.document(status)
  else out.lines(clusterLines(status))
}

async function admins(context: CommandContext): Promise<number> {
  const { flags } = context
  const wanted = flags.rest(1)
  if (wanted.length === 0) throw new UsageError('weft cluster admins needs PEER…', 'name all who shall be admins')
  const access = await openCluster(context)
  const members = await namedMembers(access, await statusOf(access), context.signal)
  const ids = [...new Set(wanted.map((one) => findPeer(members, one).id))]
  const text = flags.text('admins')
  const threshold = text === undefined ? {} : thresholdOf(text)
  const outcome = await access.run({ do: 'admins', admins: ids.sort(), ...threshold })
  return tellChange(context, outcome, `${ids.length} admins decide from now on`)
}

async function sign(context: CommandContext): Promise<number> {
  const file = context.flags.argument(1)
  if (file === undefined) throw new UsageError('weft cluster sign needs FILE', 'the proposal that another admin made')
  const access = await openCluster(context)
  const outcome = await access.run({ do: 'sign', proposal: await readText(file, MAX_PROPOSAL) })
  return tellChange(context, outcome, 'signed by enough admins: it stands')
}

async function rotate(context: CommandContext): Promise<number> {
  const outcome = await (await openCluster(context)).run({ do: 'rotate' })
  const epoch = outcome.schema === 'weft.cluster-changed/1' ? outcome.epoch : 0
  return tellChange(context, outcome, `epoch ${epoch} has begun, with a new group key`)
}

async function certificates(context: CommandContext): Promise<number> {
  const text = context.flags.argument(1)
  if (text === undefined)
    throw new UsageError('weft cluster certificates needs TIME or off', 'for example: weft cluster certificates 24h')
  const lifetime = lifetimeOf(text)
  const outcome = await (await openCluster(context)).run({ do: 'certificates', lifetime })
  const done =
    lifetime === 0
      ? 'there are no certificates from now on'
      : `certificates are good for ${formatSpan(lifetime)} from now on, and whose is over is refused`
  return tellChange(context, outcome, done)
}

async function exportLog(context: CommandContext): Promise<void> {
  const { out, flags } = context
  const exported = await (await openCluster(context)).run({ do: 'export' })
  const file = flags.text('out')
  if (file === undefined) return out.document(exported)
  await writeSecret(file, `${JSON.stringify(exported)}\n`)
  if (out.structured) out.document({ schema: 'weft.cluster-exported/1', file })
  else out.note(`the membership log is in ${printable(file)}`)
}

async function recover(context: CommandContext): Promise<number> {
  const { flags } = context
  const file = flags.text('root-key')
  if (file === undefined) throw new UsageError('weft cluster recover needs --root-key FILE')
  const root = await withMaybePassphrase(context, file, (passphrase) => readRootKey(file, passphrase))
  const access = await openCluster(context)
  const status = await statusOf(access)
  if (status.root !== root.id) throw new RootKeyError(file, 'it is the key of another cluster')
  const wanted = flags.rest(1)
  const self = await selfOf(context)
  const members = await namedMembers(access, status, context.signal)
  const ids = wanted.length === 0 ? [self] : wanted.map((one) => findPeer(members, one).id)
  const seed = Buffer.from(root.privateKey.raw.subarray(0, 32)).toString('hex')
  const outcome = await access.run({ do: 'recover', root: seed, admins: [...new Set(ids)].sort() })
  return tellChange(
    context,
    outcome,
    `recovered: ${ids.length === 1 ? 'one admin decides' : `${ids.length} admins decide`} now`,
  )
}

async function selfOf(context: CommandContext): Promise<string> {
  const { clusterNeeds } = await import('../cluster/access.ts')
  return (await clusterNeeds(context)).identity.id
}

/** Who leaves while nobody is there to take it out stands in the log until an admin revokes it. */
async function leave(context: CommandContext): Promise<void> {
  const { out, flags, home, io } = context
  const access = await openCluster(context)
  const status = await statusOf(access)
  const left = await access.run({ do: 'leave', reason: flags.text('reason') ?? 'left' })
  const told = left.schema === 'weft.cluster-left/1' && left.told
  const { running } = access
  if (running !== undefined) {
    await running.shutdown(0)
    const { stopped } = await import('../cluster/stopped.ts')
    await stopped(context)
  }
  const aside = await holdingHome(context, () => leaveClusterHome(home, io.clock.wall()))
  if (out.structured) out.document({ schema: 'weft.cluster-left/1', cluster: status.id, told, kept: aside })
  else {
    out.note(`left ${printable(status.name)}${running === undefined ? '' : '; the peer has stopped'}`)
    if (status.role === null) out.note('this peer had been removed from it before')
    else if (!told) out.note('no admin was there to hear it: ask one to  weft revoke  this peer')
  }
}
