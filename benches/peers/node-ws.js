// usage: node node-ws.js echo|fanout|idle|connect PORT
// All but fanout send back what comes; fanout sends it to all other connections, unparsed.
const { WebSocketServer, WebSocket } = require('ws');

const [mode, port] = process.argv.slice(2);
const server = new WebSocketServer({
  host: '127.0.0.1', port: Number(port), backlog: 4096, perMessageDeflate: false,
});

server.on('connection', (socket) => {
  socket.on('error', () => {});
  socket.on('message', (data, binary) => {
    if (mode !== 'fanout') {
      socket.send(data, { binary });
      return;
    }
    for (const other of server.clients) {
      if (other !== socket && other.readyState === WebSocket.OPEN) other.send(data, { binary });
    }
  });
});
