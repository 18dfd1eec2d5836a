/** weft invite create|ls|rm: invites to the cluster of this home. */
import type { InviteInfo } from '../../peer/index.ts'
import { isPeerId } from '../../trust/index.ts'
import type { Role } from '../../trust/index.ts'
import { openCluster } from '../cluster/access.ts'
import { writeSecret } from '../cluster/files.ts'
import { showQr } from '../cluster/qr.ts'
import type { Command, CommandContext } from '../context.ts'
import { BadValueError, PeerNotRunningError, UsageError } from '../errors.ts'
import { socketPath } from '../../util/index.ts'
import { printable, table } from '../text.ts'

const DAY_MS = 86_400_000

export const command: Command = (context) => {
  const action = context.flags.required(0)
  if (action === 'create') return create(context)
  return action === 'rm' ? remove(context) : list(context)
}

async function create(context: CommandContext): Promise<void> {
  const { flags, out, home, io } = context
  const peer = flags.text('peer')
  if (peer !== undefined && !isPeerId(peer)) throw new BadValueError('--peer', peer, 'the id of a peer', '12D3KooW…')
  const addresses = flags.texts('address')
  if (flags.flag('qr') && out.structured)
    throw new UsageError('--qr is a picture, and --json is for programs', 'leave one of them out')
  if (flags.flag('offline')) return admit(context, peer, addresses)
  const cluster = await openCluster(context)
  if (cluster.running === undefined && addresses.length === 0) {
    throw new PeerNotRunningError(
      home,
      socketPath(home, io.env),
      'start it with weft up: an invite says where it is redeemed; or name that place with --address',
    )
  }
  const made = await cluster.run({
    do: 'invite',
    role: (flags.text('role') ?? 'member') as Role,
    site: flags.text('site') ?? '',
    lifetime: flags.number('expires') ?? DAY_MS,
    uses: flags.number('uses') ?? 1,
    approve: flags.flag('approve'),
    ...(peer === undefined ? {} : { peer }),
    ...(addresses.length === 0 ? {} : { addresses }),
  })
  if (made.schema !== 'weft.invite/1') return
  const file = flags.text('out')
  if (file !== undefined) await writeSecret(file, `${made.token}\n`)
  if (out.structured) {
    out.document(file === undefined ? made : { ...made, token: null, file })
    return
  }
  if (flags.flag('qr')) await showQr(out, made.token, io.stdout.columns)
  if (file === undefined) out.line(made.token)
  const who = made.uses === 1 ? 'one peer' : `${made.uses} peers`
  out.note(`invite ${made.id}: lets in ${who} as ${made.role} until ${made.expires_at}`)
  out.note(file === undefined ? 'there:  weft join -   (and paste it)' : `there:  weft join ${printable(file)}`)
  if (made.approve) out.note('whoever comes with it waits here:  weft peers approve PEER   (weft status says who)')
}

/** For a site that cannot reach this peer when it joins: it is a member from now on, and the file says so. */
async function admit(context: CommandContext, peer: string | undefined, addresses: readonly string[]): Promise<void> {
  const { flags, out } = context
  if (peer === undefined) throw new UsageError('--offline needs --peer PEERID', 'weft key id prints it there')
  if (
    flags.number('expires') !== undefined ||
    flags.number('uses') !== undefined ||
    flags.flag('approve') ||
    flags.flag('qr')
  )
    throw new UsageError('--offline excludes --expires, --uses, --approve and --qr', 'it lets in one peer, now')
  const made = await (
    await openCluster(context)
  ).run({
    do: 'admit',
    peer,
    name: flags.text('name') ?? '',
    role: (flags.text('role') ?? 'member') as Role,
    site: flags.text('site') ?? '',
    ...(addresses.length === 0 ? {} : { addresses }),
  })
  if (made.schema !== 'weft.admitted/1') return
  const file = flags.text('out')
  if (file !== undefined) await writeSecret(file, made.admission)
  if (out.structured) out.document(file === undefined ? made : { ...made, admission: null, file })
  else {
    if (file === undefined) out.write(made.admission)
    out.note(
      `${peer} is in from now on, as ${made.role}; there:  weft join ${file === undefined ? 'FILE' : printable(file)}`,
    )
  }
}

async function list(context: CommandContext): Promise<void> {
  const { out } = context
  const listed = await (await openCluster(context)).run({ do: 'invites' })
  if (listed.schema !== 'weft.invites/1') return
  if (out.structured) out.document(listed)
  else if (listed.invites.length === 0) out.note('no invites: weft invite create makes one')
  else out.lines(invitesTable(listed.invites))
}

function invitesTable(invites: readonly InviteInfo[]): string[] {
  return table(
    [{ head: 'INVITE' }, { head: 'ROLE' }, { head: 'SITE' }, { head: 'LEFT', right: true }, { head: 'EXPIRES' }],
    invites.map(({ id, role, site, left, uses, expires_at }) => [
      id,
      role,
      site === '' ? '-' : printable(site),
      `${left}/${uses}`,
      expires_at,
    ]),
  )
}

async function remove(context: CommandContext): Promise<void> {
  const { flags, out } = context
  const id = flags.argument(1)
  if (id === undefined) throw new UsageError('weft invite rm needs INVITE', 'usage: weft invite rm INVITE')
  const removed = await (await openCluster(context)).run({ do: 'uninvite', id })
  if (out.structured) out.document(removed)
  else out.note(`invite ${printable(id)} is good for nothing any more`)
}
