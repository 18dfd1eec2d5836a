/** weft revoke PEER --reason TEXT: removes a member from the cluster. */
import { namedMembers, openCluster, statusOf } from '../cluster/access.ts'
import { tellChange } from '../cluster/outcome.ts'
import type { Command } from '../context.ts'
import { UsageError } from '../errors.ts'
import { findPeer } from '../find-peer.ts'

export const command: Command = async (context) => {
  const { flags } = context
  const reason = flags.text('reason')
  if (reason === undefined)
    throw new UsageError('weft revoke needs --reason', 'it stands in the log: --reason "laptop lost"')
  const access = await openCluster(context)
  const members = await namedMembers(access, await statusOf(access), context.signal)
  const { id, name } = findPeer(members, flags.required(0))
  const outcome = await access.run({ do: 'revoke', peer: id, reason })
  const epoch = outcome.schema === 'weft.cluster-changed/1' ? outcome.epoch : 0
  return tellChange(
    context,
    outcome,
    `${name === '' ? id : name} is out; epoch ${epoch} has begun, with a new group key`,
  )
}
