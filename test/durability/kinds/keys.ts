/** Key files: made once, sealed under a passphrase, opened again; and the list of API keys, which has hashes. */
import { join } from 'node:path'
import {
  createApiKeys,
  createNetworkKey,
  identityOwner,
  keyOwner,
  keyStatus,
  loadNetworkKey,
  loadOrCreateIdentity,
  openKeyFile,
  sealKeys,
  unsealKeys,
} from '../../../src/trust/index.ts'
import { writeRootKey } from '../../../src/trust/cluster-home/root-key.ts'
import { systemClock, systemRandom } from '../../../src/util/index.ts'
import type { Kind } from '../kind.ts'

const PASSPHRASE = 'a long passphrase'
/** Of scrypt: as cheap as a file may ask for. */
const COST = 1 << 10

/** Whether each file holds a key, sealed or not, that the passphrase opens: which of both, a crash between two files decides. */
async function shownKeys(directory: string): Promise<unknown> {
  const status = await keyStatus(directory)
  for (const { file } of status) await openKeyFile(join(directory, file), PASSPHRASE)
  if (status.some(({ file, sealed }) => file === 'network.key' && !sealed))
    await loadNetworkKey(join(directory, 'network.key'))
  return status.map(({ file }) => file)
}

async function orThere(made: Promise<unknown>): Promise<void> {
  await made.catch((error: unknown) => {
    if (!['WEFT-TRU-005', 'WEFT-TRU-075'].includes((error as { code?: string }).code ?? '')) throw error
  })
}

const keyFiles: Kind = {
  name: 'key files',
  open(home) {
    const keys = join(home, 'keys')
    return {
      steps: [
        { name: 'identity', run: () => loadOrCreateIdentity({ directory: keys, passphrase: PASSPHRASE }) },
        { name: 'network key', run: () => orThere(createNetworkKey(join(keys, 'network.key'))) },
        { name: 'root key', run: () => orThere(writeRootKey(join(keys, 'cluster-root.key'), Buffer.alloc(32, 7))) },
        { name: 'seal', run: () => orThere(sealKeys(keys, PASSPHRASE, keyOwner, COST)) },
        { name: 'unseal', run: () => orThere(unsealKeys(keys, PASSPHRASE)) },
        { name: 'seal again', run: () => orThere(sealKeys(keys, PASSPHRASE, keyOwner, COST)) },
      ],
      state: () => shownKeys(keys),
      close: () => undefined,
    }
  },
  async read(home) {
    const keys = join(home, 'keys')
    const state = await shownKeys(keys)
    if ((await identityOwner(keys)) !== undefined)
      await loadOrCreateIdentity({ directory: keys, passphrase: PASSPHRASE })
    return state
  },
}

const apiKeys: Kind = {
  name: 'API keys',
  open(home) {
    const keys = createApiKeys({ clock: systemClock(), random: systemRandom() }, { directory: join(home, 'keys') })
    const names = async (): Promise<string[]> =>
      (await keys.list()).map(({ name, scopes }) => `${name} ${scopes.join()}`)
    const add = (name: string) => ({
      name: `create ${name}`,
      run: async () => ((await names()).some((one) => one.startsWith(name)) ? undefined : keys.create({ name })),
    })
    return {
      steps: [
        add('first'),
        add('second'),
        {
          name: 'revoke',
          run: async () => {
            const [first] = await keys.list()
            if (first?.name === 'first') await keys.revoke(first.id)
          },
        },
      ],
      state: names,
      close: () => undefined,
    }
  },
}

export const KINDS: readonly Kind[] = [keyFiles, apiKeys]
