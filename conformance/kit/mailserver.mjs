// A mail server that keeps what it is sent.
import { createServer } from "node:net";

/** Listens at a port. Messages to addresses that a pattern matches are refused for ever. */
export async function mailServer(port, refused = /^$/) {
  const messages = [];
  const sockets = new Set();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket)).on("error", () => {});
    let body, rest = "";
    socket.write("220 sink\r\n");
    socket.on("data", (chunk) => {
      rest += chunk;
      for (let i; (i = rest.indexOf("\r\n")) >= 0; ) {
        const line = rest.slice(0, i);
        rest = rest.slice(i + 2);
        if (body !== undefined) {
          if (line === ".") {
            messages.push(body);
            body = undefined;
            socket.write("250 ok\r\n");
          } else body += `${line}\n`;
        } else if (/^DATA/i.test(line)) {
          body = "";
          socket.write("354 go on\r\n");
        } else if (/^QUIT/i.test(line)) socket.end("221 bye\r\n");
        else if (/^RCPT/i.test(line) && refused.test(line)) socket.write("550 no such mailbox\r\n");
        else socket.write("250 ok\r\n");
      }
    });
  });
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  server.unref();
  return {
    messages,
    close: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}
