/**
 * The program of a stage host: a child process that computes one model's stages for its peer (DESIGN decision 5). It
 * speaks frames over file descriptor 3, and ends by itself when the peer is gone.
 */
import { flushCompileCache } from 'node:module'
import { Socket } from 'node:net'
import { channelToOwn, frame } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
import { createOrtEngine } from '../../onnx/index.ts'
import { createBlobStore } from '../../store/index.ts'
import { systemClock } from '../../util/index.ts'
import { Grammars } from './grammar/grammars.ts'
import { readVocabulary } from './grammar/vocabulary.ts'
import { Parts } from './parts.ts'
import { HOST } from './protocol.ts'
import { HostServer } from './serve.ts'
import { tellingEngine } from './telling-engine.ts'

const PEER_SOCKET = 3

function main(): void {
  const channel = channelToOwn(new Socket({ fd: PEER_SOCKET }), 'peer')
  const clock = systemClock()
  const emit = (value: Frame): void => void channel.send(value).catch(() => undefined)
  const engine = tellingEngine(createOrtEngine(), (isLoading) =>
    emit(frame({ type: HOST.loading, flags: isLoading ? 1 : 0 })),
  )
  const server = new HostServer({
    clock,
    kernel: engine.kernelId,
    emit,
    createParts: async ({ threads, storeDirectory, cacheDirectory }, manifest) => {
      const store = await createBlobStore({ directory: storeDirectory })
      return new Parts({ engine, clock, options: { threads }, store, storeDirectory, cacheDirectory }, manifest)
    },
    grammars: ({ storeDirectory }, manifest) => new Grammars(() => readVocabulary(storeDirectory, manifest)),
    // Node does so at the end of a process, and few hosts end by themselves.
    loaded: () => flushCompileCache(),
  })
  channel.onFrame((message) => server.onFrame(message))
  // The peer is gone: nobody is left to compute for.
  void channel.closed.then(() => process.exit(0))
  // Ctrl-C in a terminal reaches the whole process group; the peer decides when its hosts end.
  process.on('SIGINT', () => undefined)
}

main()
