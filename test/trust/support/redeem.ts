/** A process that tries to redeem one invite as many peers, and tells its parent who got in. */
import { newIdentity, openInviteBook } from '../../../src/trust/index.ts'
import { systemRandom } from '../../../src/util/index.ts'

const [path = '', id = '', secret = '', count = '0'] = process.argv.slice(2)
const book = openInviteBook(path, systemRandom())
for (let n = 0; n < Number(count); n++) {
  const peer = newIdentity().id
  try {
    book.redeem({ id, secret: Buffer.from(secret, 'hex'), peer, name: '', now: 5, standing: 'new' })
    process.send?.(peer)
    // long enough for the parent to kill it
    await new Promise((resolve) => setTimeout(resolve, 500))
  } catch (error) {
    if ((error as { code?: string }).code !== 'WEFT-TRU-153') throw error
  }
}
process.disconnect()
