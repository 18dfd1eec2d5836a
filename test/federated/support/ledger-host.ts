/** Another process of a site: charges its ledger until it is refused, and says how often it could. */
import { createPublicKey, createPrivateKey, sign, verify } from 'node:crypto'
import { openPrivacyLedger } from '../../../src/federated/index.ts'
import type { LedgerSigner } from '../../../src/federated/index.ts'

/** One key for all processes of the tests' site. */
export function testSigner(): LedgerSigner {
  const head = Buffer.from('302e020100300506032b657004220420', 'hex')
  const key = createPrivateKey({ key: Buffer.concat([head, Buffer.alloc(32, 7)]), format: 'der', type: 'pkcs8' })
  const open = createPublicKey(key)
  return {
    sign: (bytes) => sign(null, bytes, key),
    verify: (bytes, signature) => verify(null, bytes, open, signature),
  }
}

const [path, anchor, job, most] = process.argv.slice(2)
if (path !== undefined && anchor !== undefined && process.argv[1] === import.meta.filename) {
  const ledger = openPrivacyLedger({ signer: testSigner(), wall: () => 1e12 }, { path, anchor })
  let charged = 0
  let code = ''
  const event = { mechanism: 'gaussian', q: 0.1, sigma: 1, steps: 5 } as const
  for (let round = 0; round < Number(most); round++) {
    try {
      ledger.charge({ data: 'heart', unit: 'record', job: job ?? 'job', round, event })
      charged++
    } catch (error) {
      code = (error as { code?: string }).code ?? String(error)
      break
    }
  }
  process.stdout.write(JSON.stringify({ charged, code }))
}
