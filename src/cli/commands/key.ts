/**
 * weft key create|list|revoke: keys for the HTTP API; network: the key of a private mesh; id: who this peer is. Files, so no
 * peer needs to run.
 */
import { join, resolve } from 'node:path'
import {
  createApiKeys,
  createNetworkKey,
  identityOwner,
  keyOwner,
  keyStatus,
  loadOrCreateIdentity,
  NothingToSealError,
  sealKeys,
  unsealKeys,
} from '../../trust/index.ts'
import { SCRYPT } from '../../store/index.ts'
import type { ApiKeys, ApiKeyScope } from '../../trust/index.ts'
import type { Command, CommandContext } from '../context.ts'
import { UsageError } from '../errors.ts'
import { newPassphrase, withPassphrase } from '../passphrase.ts'
import { recordEvent } from '../site-log.ts'
import { printable, table } from '../text.ts'

export const command: Command = (context) => {
  const { flags, home, io } = context
  const action = flags.required(0)
  if (action === 'id') return id(context)
  if (action === 'network') return network(context)
  if (action === 'encrypt') return encrypt(context)
  if (action === 'decrypt') return decrypt(context)
  if (action === 'status') return status(context)
  const keys = createApiKeys({ clock: io.clock, random: io.random }, { directory: join(home, 'keys') })
  if (action === 'create') return create(context, keys)
  return action === 'revoke' ? revoke(context, keys) : list(context, keys)
}

async function create(context: CommandContext, keys: ApiKeys): Promise<void> {
  const { flags, out } = context
  const [lifetime, scopes] = [flags.number('expires'), flags.texts('scope') as ApiKeyScope[]]
  const { secret, ...info } = await keys.create({
    name: flags.text('name') ?? 'key',
    ...(scopes.length === 0 ? {} : { scopes }),
    ...(lifetime === undefined ? {} : { lifetime }),
  })
  const facts = Object.fromEntries(info.scopes.map((scope) => [`scope_${scope}`, true]))
  const event = { who: 'owner', what: 'key.create', target: `key:${info.id}`, result: 'ok', facts } as const
  await recordEvent(context, event).catch(async (error: unknown) => {
    // Nobody has seen it: a key that is in no log opens nothing.
    await keys.revoke(info.id)
    throw error
  })
  if (out.structured) {
    out.document({ schema: 'weft.key/1', ...info, secret })
    return
  }
  out.line(secret)
  out.note(`key ${info.id} (${info.scopes.join(', ')}): this is the only time that it is shown`)
  out.note('send it as  Authorization: Bearer KEY')
}

async function list({ out }: CommandContext, keys: ApiKeys): Promise<void> {
  const infos = await keys.list()
  if (out.structured) out.document({ schema: 'weft.keys/1', keys: infos })
  else if (infos.length === 0) out.note('no keys: weft key create makes one')
  else {
    const rows = infos.map((key) => [
      key.id,
      printable(key.name),
      key.scopes.join(','),
      key.created_at,
      key.expires_at ?? 'never',
    ])
    out.lines(
      table([{ head: 'KEY' }, { head: 'NAME' }, { head: 'SCOPES' }, { head: 'CREATED' }, { head: 'EXPIRES' }], rows),
    )
  }
}

async function revoke(context: CommandContext, keys: ApiKeys): Promise<void> {
  const { flags, out } = context
  const id = flags.argument(1)
  if (id === undefined) throw new UsageError('weft key revoke needs KEY', 'usage: weft key revoke KEY')
  await keys.revoke(id)
  await recordEvent(context, { who: 'owner', what: 'key.revoke', target: `key:${id}`, result: 'ok' })
  if (out.structured) out.document({ schema: 'weft.key-revoked/1', id })
  else out.note(`key ${id} is good for nothing any more`)
}

/** What others call this peer by, before it has ever run: an admin may let it in by that. Needs no passphrase. */
async function id({ home, out }: CommandContext): Promise<void> {
  const directory = join(home, 'keys')
  const peer = (await identityOwner(directory)) ?? (await loadOrCreateIdentity({ directory })).id
  if (out.structured) out.document({ schema: 'weft.identity/1', peer })
  else out.line(peer)
}

/** What is in the file is not printed: it goes from machine to machine, never through a terminal's history. */
async function network({ flags, out }: CommandContext): Promise<void> {
  const file = flags.argument(1)
  if (file === undefined) throw new UsageError('weft key network needs FILE', 'usage: weft key network FILE')
  const path = resolve(file)
  await createNetworkKey(path)
  if (out.structured) {
    out.document({ schema: 'weft.network-key/1', path })
    return
  }
  out.line(path)
  out.note('copy this file to the machines of your mesh (mode 0600); whoever has it is in')
  out.note(`start each with  weft up --network-key ${printable(file)}`)
}

/** A running peer goes on with what it has in memory; from the next start on the passphrase is needed. */
async function encrypt(context: CommandContext): Promise<void> {
  const { home, out } = context
  const directory = join(home, 'keys')
  // Before anything is asked: there is something to encrypt.
  if (!(await keyStatus(directory)).some(({ sealed }) => !sealed))
    throw new NothingToSealError(directory, 'not encrypted')
  const passphrase = await newPassphrase(context, directory)
  await recordEvent(context, { who: 'owner', what: 'key.encrypt', result: 'ok' })
  const files = await sealKeys(directory, passphrase, keyOwner)
  if (out.structured)
    out.document({ schema: 'weft.keys-sealed/1', directory, files, kdf: { name: 'scrypt', ...SCRYPT } })
  else {
    out.lines(files)
    out.note('encrypted. weft up needs the passphrase from now on (--passphrase-file); there is no way back without it')
  }
}

async function decrypt(context: CommandContext): Promise<void> {
  const { home, out } = context
  const directory = join(home, 'keys')
  if (!(await keyStatus(directory)).some(({ sealed }) => sealed)) throw new NothingToSealError(directory, 'encrypted')
  const files = await withPassphrase(context, directory, (passphrase) => unsealKeys(directory, passphrase))
  await recordEvent(context, { who: 'owner', what: 'key.decrypt', result: 'ok' })
  if (out.structured) out.document({ schema: 'weft.keys-opened/1', directory, files })
  else {
    out.lines(files)
    out.note('they lie on the disk as they are, mode 0600')
  }
}

async function status({ home, out }: CommandContext): Promise<void> {
  const directory = join(home, 'keys')
  const keys = await keyStatus(directory)
  if (out.structured) out.document({ schema: 'weft.key-status/1', directory, keys })
  else if (keys.length === 0) out.note('no private keys yet: weft up makes an identity')
  else {
    const rows = keys.map(({ file, sealed, of }) => [file, sealed ? 'encrypted' : 'open', printable(of ?? '-')])
    out.lines(table([{ head: 'KEY' }, { head: 'AT REST' }, { head: 'OF' }], rows))
  }
}
