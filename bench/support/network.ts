/** A network for a benchmark on this machine: keyed, on the loopback, with no discovery. */
import { createNetwork } from '../../src/net/index.ts'
import type { Network } from '../../src/net/index.ts'
import { createLogger } from '../../src/telemetry/index.ts'
import { newIdentity } from '../../src/trust/index.ts'
import { systemClock, systemRandom } from '../../src/util/index.ts'

export function startNetwork(bootstrap: readonly string[]): Promise<Network> {
  const logger = createLogger({ name: 'bench', level: 'silent' })
  return createNetwork(
    { clock: systemClock(), random: systemRandom(), identity: newIdentity(), logger },
    {
      networkName: 'bench',
      networkKey: new Uint8Array(32),
      listen: ['/ip4/127.0.0.1/tcp/0'],
      bootstrap,
      lan: 'off',
      discovery: false,
      membership: { epoch: 0, admits: () => true },
      name: 'bench',
      version: '0',
    },
  )
}
