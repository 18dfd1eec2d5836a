/** A private cluster on the hosts of a field, made as people make one. */
import { BIN, joined } from '../../test/integration/support.ts'
import type { RealPeer } from '../../test/integration/support.ts'
import { json, weft } from '../../test/cli/support.ts'
import type { Field } from './field.ts'

/** The first has founded it and is its admin; the others came by an invite each. */
export async function foundCluster(field: Field, names: readonly string[]): Promise<RealPeer[]> {
  const run = async (index: number, ...args: string[]): Promise<Record<string, unknown>> => {
    const command = [...field.on(index + 1), process.execPath, BIN]
    const { stdout, stderr, status } = await weft([...args, '--home', field.lab.home(names[index]!), '--json'], {
      command,
    })
    if (status !== 0) throw new Error(`weft ${args[0]} failed: ${stdout}${stderr}`)
    return json(stdout)
  }
  await run(0, 'cluster', 'create', 'northwind', '--name', names[0]!)
  const peers = [await field.start(names[0]!, 1)]
  for (const [index, name] of names.entries()) {
    if (index === 0) continue
    const { token } = await run(0, 'invite', 'create', '--role', 'site')
    await run(index, 'join', token as string, '--name', name)
    peers.push(await field.start(name, index + 1))
  }
  await joined(peers)
  return peers
}
