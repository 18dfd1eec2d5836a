/**
 * The program of a gradient host: a child process that makes the graph of one training run of another peer, and computes its
 * gradients (DESIGN decision 5). It is ended when it holds more than it may (the first argument, in bytes), and ends by itself
 * when its peer is gone.
 */
import { guardProcess } from '../../../util/index.ts'
import { answerPeer } from '../../adapters/host/asked-program.ts'
import { MAX_GRADIENT_BYTES } from './protocol.ts'
import { GradientRuntime } from './runtime.ts'

guardProcess({ memory: Number(process.argv[2]) })
const runtime = new GradientRuntime()
answerPeer(MAX_GRADIENT_BYTES, (message) => runtime.ask(message))
