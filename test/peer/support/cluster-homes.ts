/** Homes of one cluster, each with its identity and the log: as after `weft cluster create` and `weft join`. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import {
  adoptClusterHome,
  decodeEntry,
  foundClusterHome,
  loadOrCreateIdentity,
  newIdentity,
} from '../../../src/trust/index.ts'
import type { Identity, Role } from '../../../src/trust/index.ts'
import { systemRandom } from '../../../src/util/index.ts'

export interface HomeOf {
  readonly name: string
  readonly role: Role
}

/** The first founds it, and is an admin whatever it says. */
export async function foundClusterHomes(
  folder: string,
  homes: readonly HomeOf[],
): Promise<{ readonly ids: readonly string[]; readonly root: Identity; readonly door: Uint8Array }> {
  const root = newIdentity()
  const identities: Identity[] = []
  for (const { name } of homes) {
    const directory = join(folder, name, 'keys')
    await mkdir(directory, { recursive: true, mode: 0o700 })
    identities.push(await loadOrCreateIdentity({ directory }))
  }
  const needs = { random: systemRandom(), wall: () => Date.now() }
  const [founder, ...others] = identities as [Identity, ...Identity[]]
  const founded = await foundClusterHome({ ...needs, identity: founder }, join(folder, homes[0]!.name), {
    name: 'north',
    threshold: { k: 1, n: 1 },
    founder: { name: homes[0]!.name, site: '' },
    root,
  })
  const { cluster } = founded
  for (const [index, { id }] of others.entries()) {
    const { name, role } = homes[index + 1]!
    cluster.admit({ peer: id, name, role, site: '' })
  }
  const entries = cluster.log.entries(0, 1_000).map(decodeEntry)
  for (const [index, identity] of others.entries()) {
    const home = join(folder, homes[index + 1]!.name)
    ;(await adoptClusterHome({ ...needs, identity }, home, cluster.id, entries)).close()
  }
  founded.close()
  return { ids: identities.map(({ id }) => id), root, door: cluster.doorKey }
}
