/**
 * Must be imported before the engine's library. Its Linux build (1.30) has a telemetry client of its vendor switched on,
 * which writes `mat-debug-PID.log` and `.ses` files into the folder for temporary files and knows a host to report to.
 * Weft tells nobody anything.
 */
process.env['ORT_DISABLE_TELEMETRY'] = '1'
