/** A network for a benchmark: keyed, with no discovery, on the loopback unless told otherwise. */
import { createNetwork } from '../../src/net/index.ts'
import type { Network } from '../../src/net/index.ts'
import { createLogger } from '../../src/telemetry/index.ts'
import { newIdentity } from '../../src/trust/index.ts'
import type { Identity } from '../../src/trust/index.ts'
import { systemClock, systemRandom } from '../../src/util/index.ts'

export function startNetwork(
  bootstrap: readonly string[],
  host = '127.0.0.1',
  identity: Identity = newIdentity(),
): Promise<Network> {
  const logger = createLogger({ name: 'bench', level: 'silent' })
  return createNetwork(
    { clock: systemClock(), random: systemRandom(), identity, logger },
    {
      networkName: 'bench',
      networkKey: new Uint8Array(32),
      listen: [`/ip4/${host}/tcp/0`],
      bootstrap,
      lan: 'off',
      discovery: false,
      membership: { epoch: 0, admits: () => true, isRemoved: () => false },
      name: 'bench',
      version: '0',
    },
  )
}
